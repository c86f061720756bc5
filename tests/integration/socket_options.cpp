// What is set on the proxy's sockets, as the kernel has it.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

#include "tests/integration/scenario.hpp"

namespace penstock::test {
namespace {

/// A copy of a connected TCP socket of another process, found by the address of its far end; needs
/// what a debugger needs (ptrace).
std::optional<UniqueFd> socket_towards(pid_t pid, const std::string& peer) {
    const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process) throw std::system_error(errno, std::generic_category(), "pidfd_open");
    const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const int number = std::stoi(entry.path().filename().string());
        UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
        if (!copy) {
            if (errno == EBADF) continue;  // closed meanwhile
            throw std::system_error(errno, std::generic_category(), "pidfd_getfd");
        }
        sockaddr_storage address{};
        socklen_t length = sizeof address;
        auto* raw = reinterpret_cast<sockaddr*>(&address);
        if (::getpeername(copy.get(), raw, &length) != 0 || address.ss_family != AF_INET) continue;
        if (Address::peer_of(copy.get()).text() == peer) return copy;
    }
    return std::nullopt;
}

int option(const UniqueFd& socket, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    EXPECT_EQ(::getsockopt(socket.get(), level, name, &value, &length), 0);
    return value;
}

struct Keepalive {
    int on, idle, interval, probes;
    bool operator==(const Keepalive&) const = default;
    friend std::ostream& operator<<(std::ostream& out, const Keepalive& k) {
        return out << k.on << " " << k.idle << " " << k.interval << " " << k.probes;
    }
};

Keepalive keepalive_of(const UniqueFd& socket) {
    return {option(socket, SOL_SOCKET, SO_KEEPALIVE), option(socket, IPPROTO_TCP, TCP_KEEPIDLE),
            option(socket, IPPROTO_TCP, TCP_KEEPINTVL), option(socket, IPPROTO_TCP, TCP_KEEPCNT)};
}

TEST(SocketOptions, keepalive_of_listener_and_upstream_are_set_on_their_own_sides) {
    EchoServer echo;
    ProxyProcess proxy(one_service(
        {echo.text()}, "", R"(keepalive = { idle = "77s", interval = "7s", probes = 3 })",
        R"(keepalive = { idle = "123s", interval = "11s", probes = 5 })"));
    auto client = established(proxy.address());
    ASSERT_TRUE(client);
    const auto towards_client = socket_towards(proxy.pid(), client->local().text());
    const auto towards_backend = socket_towards(proxy.pid(), echo.text());
    ASSERT_TRUE(towards_client && towards_backend);
    // Set once the connection has lived for a while: short ones never need it.
    EXPECT_TRUE(wait_for([&] { return keepalive_of(*towards_client).on == 1; }));
    EXPECT_EQ(keepalive_of(*towards_client), (Keepalive{1, 123, 11, 5}));
    EXPECT_TRUE(wait_for([&] { return keepalive_of(*towards_backend).on == 1; }));
    EXPECT_EQ(keepalive_of(*towards_backend), (Keepalive{1, 77, 7, 3}));
}

TEST(SocketOptions, no_message_waits_for_another) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto client = established(proxy.address());
    ASSERT_TRUE(client);
    for (const std::string& peer : {client->local().text(), echo.text()}) {
        const auto socket = socket_towards(proxy.pid(), peer);
        ASSERT_TRUE(socket) << peer;
        EXPECT_EQ(option(*socket, IPPROTO_TCP, TCP_NODELAY), 1) << peer;
    }
}

}  // namespace
}  // namespace penstock::test
