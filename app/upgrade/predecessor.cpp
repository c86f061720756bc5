#include "app/upgrade/predecessor.hpp"

#include <charconv>
#include <cstdlib>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include "app/upgrade/program.hpp"
#include "net/tls/options.hpp"

namespace penstock::app::upgrade {

namespace {

bool is_channel(int fd) {
    const auto option = [fd](int name) {
        int value = -1;
        socklen_t length = sizeof value;
        return ::getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
    };
    return option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == SOCK_STREAM &&
           option(SO_ACCEPTCONN) == 0;
}

std::vector<net::UniqueFd> split_off(std::vector<net::UniqueFd>& fds, std::size_t from,
                                     std::size_t count) {
    std::vector<net::UniqueFd> part;
    for (std::size_t i = from; i < from + count; ++i) part.push_back(std::move(fds[i]));
    return part;
}

std::size_t count_of(const std::vector<SocketEntry>& entries) {
    std::size_t sum = 0;
    for (const auto& entry : entries) sum += entry.count;
    return sum;
}

}  // namespace

std::expected<std::optional<Predecessor>, std::string> Predecessor::find(
    const config::Environment& environment) {
    const auto text = environment(channel_variable);
    if (!text) return std::nullopt;
    int fd = -1;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), fd);
    if (error != std::errc() || end != text->data() + text->size() || !is_channel(fd))
        return std::unexpected(fmt::format(
            "{} of the environment is '{}', which is no channel to a running Penstock; remove it, "
            "`penstock upgrade` sets it",
            channel_variable, *text));
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    return Predecessor(net::UniqueFd(fd));
}

std::expected<Predecessor::Estate, std::string> Predecessor::receive(TimePoint deadline) {
    auto message = channel_.receive(deadline);
    if (!message)
        return std::unexpected(fmt::format("nothing to take over: {}", message.error().message));
    auto decoded = decode(message->bytes);
    net::tls::wipe(message->bytes);
    if (!decoded) return std::unexpected(std::move(decoded.error()));
    auto* manifest = std::get_if<Manifest>(&*decoded);
    if (manifest == nullptr)
        return std::unexpected("the running process does not begin with what it leaves");
    auto& fds = message->fds;
    if (manifest->descriptors() != fds.size())
        return std::unexpected(fmt::format(
            "the running process sent {} descriptors and announced others", fds.size()));
    Estate estate{.manifest = std::move(*manifest)};
    const std::size_t sockets = count_of(estate.manifest.sockets);
    const std::size_t admin = count_of(estate.manifest.admin_sockets);
    estate.sockets = split_off(fds, 0, sockets);
    estate.admin_sockets = split_off(fds, sockets, admin);
    estate.channels = split_off(fds, sockets + admin, fds.size() - sockets - admin);
    for (const auto& channel : estate.channels)
        if (!is_channel(channel.get()))
            return std::unexpected("the running process sent no channel to an older one");
    return estate;
}

std::expected<void, std::string> Predecessor::say_ready(const Ready& ready, TimePoint deadline) {
    if (auto sent = channel_.send(encode(ready), {}, deadline); !sent)
        return std::unexpected(
            fmt::format("cannot tell the running process: {}", sent.error().message));
    return {};
}

std::expected<Figures, std::string> Predecessor::receive_figures(TimePoint deadline) {
    auto message = channel_.receive(deadline);
    if (!message) return std::unexpected(message.error().message);
    auto decoded = decode(message->bytes);
    if (!decoded) return std::unexpected(decoded.error());
    auto* figures = std::get_if<Figures>(&*decoded);
    if (figures == nullptr) return std::unexpected("it says something else than its figures");
    return std::move(*figures);
}

void Predecessor::say_failed(const std::string& reason, TimePoint deadline) noexcept {
    // If it is not heard, the end of this process is.
    static_cast<void>(channel_.send(encode(Failed{reason}), {}, deadline));
}

void forget_upgrade_variable() noexcept { ::unsetenv(std::string(channel_variable).c_str()); }

}  // namespace penstock::app::upgrade
