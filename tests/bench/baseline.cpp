#include "tests/bench/baseline.hpp"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace penstock::bench {

namespace {

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void enable(int fd, int level, int option) {
    const int on = 1;
    ::setsockopt(fd, level, option, &on, sizeof on);
}

bool parse_port(const char* text, std::uint16_t& port) {
    const char* end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, port);
    return error == std::errc{} && rest == end && port != 0;
}

bool send_all(int fd, const char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t n = ::send(fd, data, size, MSG_NOSIGNAL);
        if (n <= 0) return false;
        data += n;
        size -= static_cast<std::size_t>(n);
    }
    return true;
}

}  // namespace

BaselinePorts parse_baseline_ports(int argc, char** argv) {
    BaselinePorts ports;
    if (argc != 3 || !parse_port(argv[1], ports.listen) || !parse_port(argv[2], ports.backend)) {
        std::fprintf(stderr, "usage: %s LISTEN_PORT BACKEND_PORT\n", argv[0]);
        std::exit(2);
    }
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    return ports;
}

UniqueFd baseline_listener(std::uint16_t port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(port);
    enable(fd.get(), SOL_SOCKET, SO_REUSEADDR);
    enable(fd.get(), IPPROTO_TCP, TCP_NODELAY);  // accepted sockets inherit it
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(fd.get(), 4096) != 0) {
        std::perror("listen");
        std::exit(1);
    }
    return fd;
}

UniqueFd baseline_connect(std::uint16_t port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return fd;
    const sockaddr_in address = loopback(port);
    enable(fd.get(), IPPROTO_TCP, TCP_NODELAY);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return {};
    }
    return fd;
}

void relay_until_closed(UniqueFd client, UniqueFd backend) {
    std::array<char, 16 * 1024> buffer;
    const std::array<int, 2> ends{client.get(), backend.get()};
    std::array<pollfd, 2> watched{{{ends[0], POLLIN, 0}, {ends[1], POLLIN, 0}}};
    while (watched[0].fd >= 0 || watched[1].fd >= 0) {
        if (::poll(watched.data(), watched.size(), -1) < 0) return;
        for (std::size_t from = 0; from < 2; ++from) {
            if (watched[from].fd < 0 || watched[from].revents == 0) continue;
            const ssize_t n = ::recv(ends[from], buffer.data(), buffer.size(), 0);
            if (n < 0) return;
            if (n == 0) {
                ::shutdown(ends[1 - from], SHUT_WR);
                watched[from].fd = -1;  // poll ignores it from now on
            } else if (!send_all(ends[1 - from], buffer.data(), static_cast<std::size_t>(n))) {
                return;
            }
        }
    }
}

}  // namespace penstock::bench
