#pragma once

#include <string>
#include <string_view>
#include <system_error>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "net/event_loop.hpp"
#include "net/socket.hpp"
#include "net/unique_fd.hpp"

namespace penstock::net {

struct IgnoreHangups final : HangupHandler {
    void on_hangup(Watch&) override { ++calls; }
    int calls = 0;
};

inline void require(bool ok, const char* what) {
    if (!ok) throw std::system_error(last_error(), what);
}

/// A connected pair over TCP loopback: [0] is non-blocking, for the code under test; [1] is the
/// peer, blocking.
inline std::pair<UniqueFd, UniqueFd> tcp_pair() {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    socklen_t length = sizeof address;
    require(::bind(listener.get(), raw, length) == 0, "bind");
    require(::listen(listener.get(), 1) == 0, "listen");
    require(::getsockname(listener.get(), raw, &length) == 0, "getsockname");
    UniqueFd peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    require(::connect(peer.get(), raw, length) == 0, "connect");
    UniqueFd own(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    require(static_cast<bool>(own), "accept4");
    const int on = 1;
    ::setsockopt(peer.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(own.get(), SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    return {std::move(own), std::move(peer)};
}

inline std::pair<UniqueFd, UniqueFd> unix_pair() {
    int fds[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0,
            "socketpair");
    return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

inline void reset_peer(UniqueFd& peer) {
    const linger at_once{1, 0};
    ::setsockopt(peer.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    peer.reset();
}

inline void say(const UniqueFd& peer, std::string_view text, int flags = 0) {
    require(::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL | flags) ==
                static_cast<ssize_t>(text.size()),
            "send");
}

/// Turns the loop until `done` holds; false when twenty seconds were not enough.
template <typename Condition>
bool turn_until(EventLoop& loop, Condition done) {
    const SteadyClock clock;
    const TimePoint end = clock.now() + std::chrono::seconds(20);
    while (!done()) {
        if (clock.now() > end) return false;
        loop.turn(std::chrono::milliseconds(20));
    }
    return true;
}

}  // namespace penstock::net
