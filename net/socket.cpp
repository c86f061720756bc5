#include "net/socket.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace penstock::net {

namespace {

constexpr bool would_block(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK; }

constexpr IoResult done(ssize_t n) noexcept {
    return {IoStatus::ok, static_cast<std::uint32_t>(n)};
}

void set_option(int fd, int level, int name, int value) noexcept {
    ::setsockopt(fd, level, name, &value, sizeof value);
}

}  // namespace

CompactEndpoint local_endpoint(int fd) noexcept {
    sockaddr_storage address;
    socklen_t length = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
    return CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address), length);
}

void Socket::adopt(UniqueFd fd, SocketKind kind) noexcept {
    close();
    fd_ = fd.release();
    kind_ = kind;
    first_error_ = 0;
    readable.clear();
    writable.clear();
    forget_events();
}

std::error_code Socket::take_over(Socket& from, Poller& poller) noexcept {
    adopt(UniqueFd(std::exchange(from.fd_, -1)), from.kind_);
    if (const auto error = poller.reassign(*this, Poller::stream_events)) {
        close();
        return error;
    }
    readable.set(poller.ready());
    writable.set(poller.ready());
    return {};
}

// Once the peer has hung up no further edge will come, and urgent data cuts reads short at its
// mark; a unix socket returns one record boundary at a time. Only EAGAIN proves those queues empty.
bool Socket::short_read_means_empty() const noexcept {
    return kind_ == SocketKind::tcp && seen() == 0;
}

IoResult Socket::recv(std::span<std::byte> into) noexcept {
    ssize_t n;
    do n = ::recv(fd_, into.data(), into.size(), 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        if (static_cast<std::size_t>(n) < into.size() && short_read_means_empty()) readable.clear();
        return done(n);
    }
    return n == 0 ? end_of_stream() : failure(errno, IoStatus::want_read);
}

IoResult Socket::peek(std::span<std::byte> into) noexcept {
    ssize_t n;
    do n = ::recv(fd_, into.data(), into.size(), MSG_PEEK);
    while (n < 0 && errno == EINTR);
    if (n > 0) return done(n);
    return n == 0 ? end_of_stream() : failure(errno, IoStatus::want_read);
}

IoResult Socket::discard(std::size_t size) noexcept {
    ssize_t n = 0;
    if (kind_ == SocketKind::tcp) {
        n = ::recv(fd_, nullptr, size, MSG_TRUNC);  // tcp(7): consumes without copying
    } else {
        std::byte sink[4096];
        n = ::recv(fd_, sink, std::min(size, sizeof sink), 0);
    }
    return n > 0 ? done(n) : n == 0 ? end_of_stream() : failure(errno, IoStatus::want_read);
}

IoResult Socket::send(std::span<const std::byte> from) noexcept {
    ssize_t n;
    do n = ::send(fd_, from.data(), from.size(), MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0) return failure(errno, IoStatus::want_write);
    if (static_cast<std::size_t>(n) < from.size()) writable.clear();
    return done(n);
}

IoResult Socket::shutdown_write() noexcept {
    if (::shutdown(fd_, SHUT_WR) != 0) return failure(errno, IoStatus::want_write);
    return {IoStatus::ok};
}

IoResult Socket::splice_in(Pipe& pipe, std::size_t most) noexcept {
    const auto n = ::splice(fd_, nullptr, pipe.write_end(), nullptr, std::min(pipe.room(), most),
                            SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n > 0) {
        pipe.filled(static_cast<std::size_t>(n));
        return done(n);
    }
    if (n == 0) return {IoStatus::eof};
    if (would_block(errno) || errno == EINTR) return {IoStatus::want_read};
    return failure(errno, IoStatus::want_read);
}

IoResult Socket::splice_out(Pipe& pipe) noexcept {
    ssize_t n;
    do
        n = ::splice(pipe.read_end(), nullptr, fd_, nullptr, pipe.size(),
                     SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    while (n < 0 && errno == EINTR);
    if (n < 0) return failure(errno, IoStatus::want_write);
    pipe.emptied(static_cast<std::size_t>(n));
    if (n == 0) {
        writable.clear();
        return {IoStatus::want_write};
    }
    return done(n);
}

IoResult Socket::end_of_stream() noexcept {
    // A FIN followed by a reset reads as an end of stream, with the error still pending.
    if ((seen() & (EPOLLERR | EPOLLHUP)) != 0) check_error();
    return {failed() ? IoStatus::error : IoStatus::eof};
}

IoResult Socket::failure(int error, IoStatus would_block_status) noexcept {
    if (would_block(error)) {
        (would_block_status == IoStatus::want_read ? readable : writable).clear();
        return {would_block_status};
    }
    if (first_error_ == 0) first_error_ = static_cast<std::int16_t>(error);
    return {IoStatus::error};
}

bool Socket::check_error() noexcept {
    int error = 0;
    socklen_t length = sizeof error;
    if (first_error_ == 0 && fd_ >= 0 &&
        ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) == 0)
        first_error_ = static_cast<std::int16_t>(error);
    return first_error_ != 0;
}

std::size_t Socket::unacknowledged() const noexcept {
    int queued = 0;
    return ::ioctl(fd_, SIOCOUTQ, &queued) == 0 && queued > 0 ? static_cast<std::size_t>(queued)
                                                              : 0;
}

void Socket::set_keepalive(const KeepaliveOptions& options) noexcept {
    if (kind_ != SocketKind::tcp || fd_ < 0) return;
    set_option(fd_, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(options.idle_s));
    set_option(fd_, IPPROTO_TCP, TCP_KEEPINTVL, static_cast<int>(options.interval_s));
    set_option(fd_, IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(options.probes));
    set_option(fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
}

void Socket::close() noexcept {
    if (fd_ < 0) return;
    ::close(fd_);
    fd_ = -1;
}

void Socket::finish() noexcept {
    if (fd_ < 0) return;
    ::shutdown(fd_, SHUT_WR);
    std::byte unread[4096];
    for (int i = 0; i < 16 && ::recv(fd_, unread, sizeof unread, MSG_DONTWAIT) > 0; ++i) {
    }
    close();
}

void Socket::reset() noexcept {
    if (fd_ < 0) return;
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close();
}

}  // namespace penstock::net
