#include "proxy/source_addresses.hpp"

#include <gtest/gtest.h>

#include "net/listen_socket.hpp"
#include "tests/unit/net/socket_pair.hpp"

namespace penstock::proxy {
namespace {

Endpoint v4(std::uint8_t last) { return Endpoint::ipv4({127, 0, 0, last}, 0); }
Endpoint v6(std::uint8_t last) { return Endpoint::ipv6({0xfd, 0, last}, 0); }

TEST(SourceAddresses, without_any_the_kernel_chooses) {
    const SourceAddresses none;
    for (const int family : {AF_INET, AF_INET6, AF_UNIX}) {
        EXPECT_EQ(none.current(family), nullptr);
        EXPECT_EQ(none.count(family), 0U);
    }
}

TEST(SourceAddresses, each_family_has_its_own_turn_and_unix_has_none) {
    SourceAddresses sources({v4(1), v6(1), v4(2), v4(3)}, 0);
    EXPECT_EQ(sources.count(AF_INET), 3U);
    EXPECT_EQ(sources.count(AF_INET6), 1U);
    EXPECT_EQ(sources.current(AF_UNIX), nullptr);
    for (const auto turn : std::initializer_list<std::uint8_t>{1, 2, 3, 1}) {
        ASSERT_NE(sources.current(AF_INET), nullptr);
        EXPECT_EQ(*sources.current(AF_INET), v4(turn));
        EXPECT_EQ(*sources.current(AF_INET6), v6(1));
        sources.go_on(AF_INET);
    }
    sources.go_on(AF_INET6);
    EXPECT_EQ(*sources.current(AF_INET6), v6(1));
}

TEST(SourceAddresses, workers_begin_at_different_ones) {
    for (std::size_t worker = 0; worker < 7; ++worker) {
        const SourceAddresses sources({v4(0), v4(1), v4(2)}, worker);
        EXPECT_EQ(*sources.current(AF_INET), v4(static_cast<std::uint8_t>(worker % 3)));
    }
}

TEST(SourceAddresses, one_that_has_no_port_is_counted_and_passed_over_from_then_on) {
    net::EventLoop loop(1 << 20);
    net::IgnoreHangups handler;
    auto group = net::open_listen_group(v4(1), 1);
    ASSERT_TRUE(group);
    ASSERT_TRUE(net::start_listening(*group, 8));
    const Endpoint to = group->sockets[0].bound();
    const Endpoint absent = Endpoint::ipv4({192, 0, 2, 1}, 0);  // RFC 5737: never ours
    SourceAddresses sources({absent, v4(9)}, 0);
    metrics::Counter no_port;
    for (int i = 0; i < 3; ++i) {
        net::Socket socket{handler};
        ASSERT_TRUE(sources.start_connect(socket, to, loop.poller(), no_port));
        const auto local = net::local_endpoint(socket.fd());
        EXPECT_EQ(local.bytes(), v4(9).ip().bytes());
        EXPECT_EQ(no_port.value(), 1U) << "only the first one came upon it";
    }
    SourceAddresses none({absent, absent}, 0);
    net::Socket socket{handler};
    const auto state = none.start_connect(socket, to, loop.poller(), no_port);
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().value(), EADDRNOTAVAIL);
    EXPECT_EQ(no_port.value(), 3U) << "each was tried once";
}

TEST(SourceAddresses, other_errors_are_the_backends_and_change_nothing) {
    net::EventLoop loop(1 << 20);
    net::IgnoreHangups handler;
    SourceAddresses sources({v4(8), v4(9)}, 0);
    metrics::Counter no_port;
    net::Socket socket{handler};
    const auto state = sources.start_connect(
        socket, Endpoint::parse("unix:/nowhere/at/all").value(), loop.poller(), no_port);
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().value(), ENOENT);
    EXPECT_EQ(no_port.value(), 0U);
    EXPECT_EQ(*sources.current(AF_INET), v4(8));
}

}  // namespace
}  // namespace penstock::proxy
