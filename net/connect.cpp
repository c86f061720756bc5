#include "net/connect.hpp"

#include <cerrno>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace penstock::net {

namespace {

// Small messages leave at once; urgent bytes stay in the stream, so that none is lost on the way.
void set_relay_options(int fd) noexcept {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

// The port is chosen by connect(), which knows the other end too: a port may serve towards several
// backends at a time. Otherwise it would be taken for all of them by bind().
bool bind_source(int fd, const Endpoint& source) noexcept {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_storage address;
    const socklen_t length = source.to_sockaddr(address);
    return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), length) == 0;
}

}  // namespace

Result<ConnectState> start_connect(Socket& socket, const Endpoint& to, Poller& poller,
                                   const Endpoint* source) noexcept {
    UniqueFd fd(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return unexpected_errno();
    if (!to.is_unix()) set_relay_options(fd.get());
    if (source != nullptr && !bind_source(fd.get(), *source)) return unexpected_errno();

    sockaddr_storage address;
    const socklen_t length = to.to_sockaddr(address);
    auto state = ConnectState::connected;
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
        if (errno != EINPROGRESS && errno != EINTR) return unexpected_errno();
        state = ConnectState::in_progress;
    }
    socket.adopt(std::move(fd), to.is_unix() ? SocketKind::unix_stream : SocketKind::tcp);
    if (const auto error = poller.add(socket, Poller::stream_events)) {
        socket.close();
        return std::unexpected(error);
    }
    return state;
}

std::error_code finish_connect(Socket& socket) noexcept {
    const bool failed = (socket.seen() & (EPOLLERR | EPOLLHUP)) != 0;
    if (!failed || !socket.check_error()) return {};
    const auto error = socket.error();
    socket.close();
    return error;
}

}  // namespace penstock::net
