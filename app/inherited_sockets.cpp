#include "app/inherited_sockets.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace penstock::app {

namespace {

constexpr std::string_view systemd_prefix = "systemd:";
constexpr std::string_view fd_prefix = "fd:";
constexpr int most_fds = 65'536;

std::optional<int> number_in(std::string_view text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
}

// `a:b:c`; systemd's name for what has none is "unknown".
std::vector<std::string> split_names(std::string_view text, std::size_t count) {
    std::vector<std::string> names;
    while (names.size() < count && !text.empty()) {
        const auto colon = text.find(':');
        names.emplace_back(text.substr(0, colon));
        text = colon == std::string_view::npos ? "" : text.substr(colon + 1);
    }
    names.resize(count, "unknown");
    return names;
}

std::string name_of_fd(int number) { return fmt::format("{}{}", fd_prefix, number); }

}  // namespace

std::expected<InheritedSockets, std::string> InheritedSockets::from_service_manager(
    const config::Environment& environment, pid_t self) {
    InheritedSockets result;
    if (number_in(environment("LISTEN_PID").value_or("")) != self) return result;
    const auto text = environment("LISTEN_FDS").value_or("");
    const auto count = number_in(text);
    if (!count || *count > most_fds)
        return std::unexpected(fmt::format(
            "LISTEN_FDS of the environment is '{}', which is no number of sockets", text));
    const auto names =
        split_names(environment("LISTEN_FDNAMES").value_or(""), static_cast<std::size_t>(*count));
    // Nothing is owned before all are known to be sockets: what is refused stays as it is.
    for (int fd = first_fd; const auto& name : names) {
        auto socket = net::inspect_listen_socket(fd);
        if (!socket)
            return std::unexpected(fmt::format(
                "descriptor {} that the service manager passed as '{}' {}; a socket unit for "
                "Penstock has ListenStream= and Accept=no",
                fd, name, socket.error()));
        result.sockets_.push_back({.bind = std::string(systemd_prefix) + name,
                                   .number = fd++,
                                   .bound = std::move(socket->bound)});
    }
    for (auto& socket : result.sockets_) {
        ::fcntl(socket.number, F_SETFD, FD_CLOEXEC);
        socket.fd.reset(socket.number);
    }
    return result;
}

std::expected<void, std::string> InheritedSockets::add(
    const std::vector<upgrade::SocketEntry>& entries, std::vector<net::UniqueFd> fds) {
    std::size_t next = 0;
    for (const auto& entry : entries) {
        if (entry.count > fds.size() - next)
            return std::unexpected(
                fmt::format("the running process announced {} sockets of {} and sent {}",
                            entry.count, entry.bind, fds.size() - next));
        for (const std::size_t end = next + entry.count; next < end; ++next) {
            auto socket = net::inspect_listen_socket(fds[next].get());
            if (!socket)
                return std::unexpected(
                    fmt::format("a descriptor of {} that the running process sent {}", entry.bind,
                                socket.error()));
            sockets_.push_back({.bind = entry.bind,
                                .listener = entry.listener,
                                .fd = std::move(fds[next]),
                                .bound = std::move(socket->bound),
                                .path = {entry.unix_device, entry.unix_inode}});
        }
    }
    if (next == fds.size()) return {};
    return std::unexpected(
        fmt::format("the running process announced {} sockets and sent {}", next, fds.size()));
}

InheritedSockets::Groups InheritedSockets::take(const std::string& bind, Claim claim,
                                                const std::string& listener) {
    if (!must_be_inherited(bind)) return take_address(bind, claim, listener);
    auto groups = take_if(bind, [&](const Socket& socket) {
        return socket.bind == bind || (socket.number >= 0 && name_of_fd(socket.number) == bind);
    });
    if (groups && groups->empty()) return std::unexpected(refusal(bind));
    return groups;
}

InheritedSockets::Groups InheritedSockets::take_address(const std::string& bind, Claim claim,
                                                        const std::string& listener) {
    auto first = sockets_.end();
    if (claim != Claim::address)
        first = std::ranges::find_if(sockets_, [&](const Socket& socket) {
            return socket.bind == bind && (claim == Claim::any || socket.listener == listener);
        });
    if (claim != Claim::own && first == sockets_.end())
        first = std::ranges::find(sockets_, bind,
                                  [](const Socket& socket) { return socket.bound.to_string(); });
    if (first == sockets_.end()) return {};
    // Several listeners may have asked for any port of the same address.
    return take_if(bind, [words = first->bind, bound = first->bound](const Socket& socket) {
        return socket.bind == words && socket.bound == bound;
    });
}

template <typename Predicate>
InheritedSockets::Groups InheritedSockets::take_if(const std::string& bind, Predicate wanted) {
    const auto rest = std::ranges::stable_partition(sockets_, std::not_fn(wanted));
    std::vector<net::ListenGroup> groups;
    for (auto first = rest.begin(); first != rest.end();) {
        const auto same = std::ranges::stable_partition(
            first, rest.end(), [&](const Socket& socket) { return socket.bound == first->bound; });
        std::vector<net::UniqueFd> fds;
        for (auto socket = first; socket != same.begin(); ++socket) {
            taken_.insert(socket->bind);
            if (socket->number >= 0) taken_.insert(name_of_fd(socket->number));
            fds.push_back(std::move(socket->fd));
        }
        auto group = net::adopt_listen_group(std::move(fds), first->path);
        if (!group) return std::unexpected(fmt::format("{}: {}", bind, group.error().message));
        groups.push_back(*std::move(group));
        first = same.begin();
    }
    sockets_.erase(rest.begin(), rest.end());
    return groups;
}

std::string InheritedSockets::refusal(const std::string& bind) const {
    if (taken_.contains(bind))
        return fmt::format("{}: its sockets are in use already, by another bind", bind);
    const auto others = left_over();
    return fmt::format(
        "{}: no such socket was passed to this process ({}); {}", bind,
        others.empty() ? "there are no others"
                       : fmt::format("there are {}", fmt::join(others, ", ")),
        bind.starts_with(fd_prefix)
            ? fmt::format("those of a service manager begin with {}", name_of_fd(first_fd))
            : "the socket unit needs FileDescriptorName= with this name");
}

bool InheritedSockets::must_be_inherited(std::string_view bind) noexcept {
    return bind.starts_with(systemd_prefix) || bind.starts_with(fd_prefix);
}

std::vector<std::string> InheritedSockets::left_over() const {
    std::vector<std::string> list;
    for (const auto& socket : sockets_) {
        auto text = fmt::format("{} ({})", socket.bind, socket.bound.to_string());
        if (std::ranges::find(list, text) == list.end()) list.push_back(std::move(text));
    }
    return list;
}

void forget_listen_variables() noexcept {
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"})
        ::unsetenv(name);
}

}  // namespace penstock::app
