#include "net/connect.hpp"

#include <string>

#include <gtest/gtest.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/listen_socket.hpp"
#include "tests/unit/net/socket_pair.hpp"

namespace penstock::net {
namespace {

class ConnectTest : public testing::Test {
protected:
    EventLoop loop{1 << 20};
    IgnoreHangups handler;
    Socket socket{handler};

    static Endpoint any_loopback() { return Endpoint::ipv4({127, 0, 0, 1}, 0); }
};

TEST_F(ConnectTest, rule_9_a_connect_in_progress_becomes_writable_with_clean_flags) {
    auto group = open_listen_group(any_loopback(), 1);
    ASSERT_TRUE(group);
    ASSERT_TRUE(start_listening(*group, 8));
    const auto state = start_connect(socket, group->sockets[0].bound(), loop.poller());
    ASSERT_TRUE(state);
    ASSERT_TRUE(turn_until(loop, [this] { return socket.writable.ready(); }));
    EXPECT_EQ(socket.seen(), 0U);
    EXPECT_FALSE(finish_connect(socket));
}

TEST_F(ConnectTest, a_refused_connect_says_so_and_closes) {
    auto group = open_listen_group(any_loopback(), 1);  // bound, but not listening
    ASSERT_TRUE(group);
    const auto state = start_connect(socket, group->sockets[0].bound(), loop.poller());
    if (state) {
        ASSERT_TRUE(turn_until(loop, [this] { return socket.writable.ready(); }));
        EXPECT_EQ(finish_connect(socket).value(), ECONNREFUSED);
    } else {
        EXPECT_EQ(state.error().value(), ECONNREFUSED);
    }
    EXPECT_FALSE(socket.is_open());
}

TEST_F(ConnectTest, rule_9_a_greeting_that_comes_with_the_connection_is_not_lost) {
    auto group = open_listen_group(any_loopback(), 1);
    ASSERT_TRUE(group);
    ASSERT_TRUE(start_listening(*group, 8));
    ASSERT_TRUE(start_connect(socket, group->sockets[0].bound(), loop.poller()));
    UniqueFd accepted;
    ASSERT_TRUE(turn_until(loop, [&] {
        accepted.reset(::accept4(group->sockets[0].fd(), nullptr, nullptr, SOCK_CLOEXEC));
        return static_cast<bool>(accepted);
    }));
    say(accepted, "220 hello");
    ASSERT_TRUE(turn_until(loop, [this] { return socket.readable.ready(); }));
    EXPECT_FALSE(finish_connect(socket));
    EXPECT_TRUE(socket.readable.ready());
}

TEST_F(ConnectTest, X4_a_full_unix_backlog_is_eagain_at_once) {
    const auto name = "unix:@penstock-connect-test-" + std::to_string(::getpid());
    const auto address = Endpoint::parse(name);
    ASSERT_TRUE(address);
    auto group = open_listen_group(*address, 1);
    ASSERT_TRUE(group) << group.error().message;
    ASSERT_TRUE(start_listening(*group, 0));
    Socket second(handler);
    EXPECT_EQ(start_connect(socket, *address, loop.poller()), ConnectState::connected);
    const auto state = start_connect(second, *address, loop.poller());
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().value(), EAGAIN);
}

TEST_F(ConnectTest, a_source_address_is_what_the_other_side_sees) {
    auto group = open_listen_group(any_loopback(), 1);
    ASSERT_TRUE(group);
    ASSERT_TRUE(start_listening(*group, 8));
    const Endpoint to = group->sockets[0].bound();
    const Endpoint source = Endpoint::ipv4({127, 1, 2, 3}, 0);
    ASSERT_TRUE(start_connect(socket, to, loop.poller(), &source));
    ASSERT_TRUE(turn_until(loop, [this] { return socket.writable.ready(); }));
    ASSERT_FALSE(finish_connect(socket));
    sockaddr_storage raw;
    socklen_t length = sizeof raw;
    const UniqueFd accepted(::accept4(group->sockets[0].fd(), reinterpret_cast<sockaddr*>(&raw),
                                      &length, SOCK_CLOEXEC));
    ASSERT_TRUE(accepted);
    const auto seen = Endpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&raw), length);
    EXPECT_EQ(seen.ip().bytes(), source.ip().bytes());
    EXPECT_NE(seen.port(), 0);
}

TEST_F(ConnectTest, a_source_address_that_is_not_ours_says_so_and_closes) {
    auto group = open_listen_group(any_loopback(), 1);
    ASSERT_TRUE(group);
    ASSERT_TRUE(start_listening(*group, 8));
    const Endpoint source = Endpoint::ipv4({192, 0, 2, 1}, 0);  // RFC 5737: nobody's
    const auto state = start_connect(socket, group->sockets[0].bound(), loop.poller(), &source);
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().value(), EADDRNOTAVAIL);
    EXPECT_FALSE(socket.is_open());
}

}  // namespace
}  // namespace penstock::net
