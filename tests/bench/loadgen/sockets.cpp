#include "tests/bench/loadgen/sockets.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

namespace penstock::bench {

namespace {
const sockaddr* generic(const sockaddr_in& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

void enable(int fd, int level, int option) {
    const int on = 1;
    ::setsockopt(fd, level, option, &on, sizeof on);
}

Transfer classify(ssize_t n) {
    if (n > 0) return {Transfer::State::done, static_cast<std::size_t>(n)};
    if (n == 0) return {Transfer::State::ended};
    if (errno == EAGAIN || errno == EINTR) return {Transfer::State::would_block};
    return {Transfer::State::failed};
}
}  // namespace

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

UniqueFd start_connect(const Target& target, std::uint64_t number) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return fd;
    enable(fd.get(), IPPROTO_TCP, TCP_NODELAY);
    if (target.sources > 1) {
        sockaddr_in source = loopback(0);
        source.sin_addr.s_addr =
            htonl(INADDR_LOOPBACK + static_cast<std::uint32_t>(number % target.sources));
        // Without this, bind() itself would pick a port that no other connection may share.
        enable(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
        if (::bind(fd.get(), generic(source), sizeof source) != 0) return {};
    }
    if (::connect(fd.get(), generic(target.address), sizeof target.address) != 0 &&
        errno != EINPROGRESS) {
        return {};
    }
    return fd;
}

UniqueFd listen_on(std::uint16_t port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(port);
    if (fd) {
        enable(fd.get(), SOL_SOCKET, SO_REUSEADDR);
        enable(fd.get(), IPPROTO_TCP, TCP_NODELAY);  // accepted sockets inherit it
    }
    if (!fd || ::bind(fd.get(), generic(address), sizeof address) != 0 ||
        ::listen(fd.get(), 4096) != 0) {
        throw std::system_error(errno, std::generic_category(),
                                "cannot listen on 127.0.0.1:" + std::to_string(port));
    }
    return fd;
}

std::uint16_t local_port(int fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw std::system_error(errno, std::generic_category(), "getsockname");
    }
    return ntohs(address.sin_port);
}

Transfer receive(int fd, std::span<std::byte> into) {
    return classify(::recv(fd, into.data(), into.size(), 0));
}

Transfer transmit(int fd, std::span<const std::byte> from) {
    return classify(::send(fd, from.data(), from.size(), MSG_NOSIGNAL));
}

}  // namespace penstock::bench
