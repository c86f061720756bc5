#include "app/inherited_sockets.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.hpp"

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

// Older versions know only by which name a listener has asked for it.
net::PassedAs passed_as(const upgrade::SocketEntry& entry) {
    if (!entry.passed_as.empty()) return {entry.passed_as, entry.passed_number};
    if (!InheritedSockets::must_be_inherited(entry.bind)) return {};
    const std::string_view bind = entry.bind;
    return {entry.bind,
            bind.starts_with(fd_prefix) ? number_in(bind.substr(fd_prefix.size())).value_or(0) : 0};
}

bool is_same(const net::PassedAs& a, const net::PassedAs& b) {
    return a.name == b.name && a.number == b.number;
}

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
        const auto bind = std::string(systemd_prefix) + name;
        result.sockets_.push_back(
            {.bind = bind, .passed_as = {bind, fd++}, .bound = std::move(socket->bound)});
    }
    for (auto& socket : result.sockets_) {
        ::fcntl(socket.passed_as.number, F_SETFD, FD_CLOEXEC);
        socket.fd.reset(socket.passed_as.number);
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
                                .passed_as = passed_as(entry),
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
        return socket.bind == bind || is_name_of(socket.passed_as, bind);
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
            say_taken(socket->passed_as);
            fds.push_back(std::move(socket->fd));
        }
        auto group = net::adopt_listen_group(std::move(fds), first->path);
        if (!group) return std::unexpected(fmt::format("{}: {}", bind, group.error().message));
        group->passed_as = first->passed_as;
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

bool InheritedSockets::is_name_of(const net::PassedAs& socket, const std::string& bind) {
    if (socket.name.empty()) return false;
    return socket.name == bind || (socket.number != 0 && name_of_fd(socket.number) == bind);
}

void InheritedSockets::say_taken(const net::PassedAs& socket) {
    if (socket.name.empty()) return;
    taken_.insert(socket.name);
    if (socket.number != 0) taken_.insert(name_of_fd(socket.number));
}

std::vector<std::string> InheritedSockets::close_own() {
    InheritedSockets own;
    const auto rest = std::ranges::stable_partition(
        sockets_, [](const Socket& socket) { return !socket.passed_as.name.empty(); });
    std::ranges::move(rest, std::back_inserter(own.sockets_));
    sockets_.erase(rest.begin(), rest.end());
    return own.left_over();
}

bool InheritedSockets::keep(const net::ListenGroup& sockets, const std::vector<int>& fds) {
    if (sockets.passed_as.name.empty()) return true;
    bool all = true;
    for (const int fd : fds) {
        net::UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, first_fd));
        all = all && copy;
        if (copy)
            sockets_.push_back({.bind = sockets.passed_as.name,
                                .fd = std::move(copy),
                                .passed_as = sockets.passed_as,
                                .bound = sockets.sockets.front().bound()});
    }
    return all;
}

void InheritedSockets::note_taken(const net::ListenGroup& sockets) {
    if (sockets.passed_as.name.empty()) return;
    std::erase_if(sockets_, [&](const Socket& socket) {
        return is_same(socket.passed_as, sockets.passed_as) &&
               socket.bound == sockets.sockets.front().bound();
    });
    say_taken(sockets.passed_as);
}

std::expected<InheritedSockets, std::string> InheritedSockets::duplicate() const {
    InheritedSockets copies;
    copies.taken_ = taken_;
    for (const auto& socket : sockets_) {
        net::UniqueFd fd(::fcntl(socket.fd.get(), F_DUPFD_CLOEXEC, first_fd));
        if (!fd)
            return std::unexpected(fmt::format("cannot duplicate the socket {}: {}", socket.bind,
                                               last_error().message()));
        copies.sockets_.push_back({.bind = socket.bind,
                                   .listener = socket.listener,
                                   .fd = std::move(fd),
                                   .passed_as = socket.passed_as,
                                   .bound = socket.bound,
                                   .path = socket.path});
    }
    return copies;
}

void InheritedSockets::list(std::vector<upgrade::SocketEntry>& entries,
                            std::vector<int>& fds) const {
    for (const auto& socket : sockets_) {
        entries.push_back({.bind = socket.bind,
                           .bound = socket.bound.to_string(),
                           .count = 1,
                           .passed_as = socket.passed_as.name,
                           .passed_number = socket.passed_as.number});
        fds.push_back(socket.fd.get());
    }
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
