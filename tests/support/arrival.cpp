#include "tests/support/arrival.hpp"

#include <poll.h>

#include <array>
#include <cstring>
#include <ctime>

namespace penstock::test {

void note_arrivals(const Socket& socket) {
    const int on = 1;
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

std::optional<std::chrono::nanoseconds> arrival_of(const Socket& socket, milliseconds limit) {
    if (!wait_ready(socket.fd(), POLLIN, Clock::now() + scaled(limit))) return std::nullopt;
    std::array<char, 65536> bytes;
    alignas(cmsghdr) std::array<char, 256> control;
    iovec piece{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(socket.fd(), &message, MSG_PEEK | MSG_DONTWAIT) <= 0) return std::nullopt;
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_TIMESTAMPNS) continue;
        timespec time{};
        std::memcpy(&time, CMSG_DATA(each), sizeof time);
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    }
    return std::nullopt;
}

}  // namespace penstock::test
