#include "proxy/source_addresses.hpp"

#include <gtest/gtest.h>

#include <array>
#include <map>

#include "net/listen_socket.hpp"
#include "tests/unit/net/socket_pair.hpp"

namespace penstock::proxy {
namespace {

Endpoint v4(std::uint8_t last) { return Endpoint::ipv4({127, 0, 0, last}, 0); }
Endpoint v6(std::uint8_t last) { return Endpoint::ipv6({0xfd, 0, last}, 0); }

/// Those of one worker.
struct Sources {
    explicit Sources(const std::vector<Endpoint>& addresses, unsigned worker = 0)
        : of(book, worker) {
        use(addresses);
    }
    void use(const std::vector<Endpoint>& addresses) {
        book.configure(addresses);
        of.use(addresses);
    }
    /// How many connections are counted, by address.
    [[nodiscard]] std::map<Endpoint, std::uint64_t> open() const {
        std::map<Endpoint, std::uint64_t> all;
        for (const auto& [address, connections] : book.in_use()) all[address] = connections;
        return all;
    }
    SourceBook book{8};
    SourceAddresses of;
};

using Open = std::map<Endpoint, std::uint64_t>;

/// Accepts, and never looks.
struct SomeBackend {
    SomeBackend() {
        auto group = net::open_listen_group(v4(1), 1);
        EXPECT_TRUE(group && net::start_listening(*group, 64));
        sockets = std::move(group->sockets);
    }
    [[nodiscard]] const Endpoint& address() const { return sockets.at(0).bound(); }
    std::vector<net::ListenSocket> sockets;
};

TEST(SourceAddresses, without_any_the_kernel_chooses) {
    const Sources nothing({});
    const SourceAddresses& none = nothing.of;
    for (const int family : {AF_INET, AF_INET6, AF_UNIX}) {
        EXPECT_EQ(none.current(family), nullptr);
        EXPECT_EQ(none.count(family), 0U);
    }
}

TEST(SourceAddresses, each_family_has_its_own_turn_and_unix_has_none) {
    Sources all({v4(1), v6(1), v4(2), v4(3)});
    SourceAddresses& sources = all.of;
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
    for (unsigned worker = 0; worker < 7; ++worker) {
        const Sources sources({v4(0), v4(1), v4(2)}, worker);
        EXPECT_EQ(*sources.of.current(AF_INET), v4(static_cast<std::uint8_t>(worker % 3)));
    }
}

TEST(SourceAddresses, one_that_has_no_port_is_counted_and_passed_over_from_then_on) {
    net::EventLoop loop(1 << 20);
    net::IgnoreHangups handler;
    const SomeBackend backend;
    const Endpoint absent = Endpoint::ipv4({192, 0, 2, 1}, 0);  // RFC 5737: never ours
    Sources sources({absent, v4(9)});
    metrics::Counter no_port;
    for (int i = 0; i < 3; ++i) {
        net::Socket socket{handler};
        SourceAddresses::Place from = SourceAddresses::nowhere;
        ASSERT_TRUE(
            sources.of.start_connect(socket, backend.address(), loop.poller(), no_port, from));
        const auto local = net::local_endpoint(socket.fd());
        EXPECT_EQ(local.bytes(), v4(9).ip().bytes());
        EXPECT_EQ(no_port.value(), 1U) << "only the first one came upon it";
    }
    EXPECT_EQ(sources.open(), (Open{{absent, 0}, {v4(9), 3}}));
    Sources none({absent, absent});
    net::Socket socket{handler};
    SourceAddresses::Place from = SourceAddresses::nowhere;
    const auto state =
        none.of.start_connect(socket, backend.address(), loop.poller(), no_port, from);
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().value(), EADDRNOTAVAIL);
    EXPECT_EQ(no_port.value(), 3U) << "each was tried once";
    EXPECT_EQ(none.open(), (Open{{absent, 0}}));
}

TEST(SourceAddresses, connections_are_counted_until_they_are_closed_whatever_is_configured) {
    net::EventLoop loop(1 << 20);
    net::IgnoreHangups handler;
    const SomeBackend backend;
    metrics::Counter no_port;
    Sources sources({v4(8)});
    EXPECT_EQ(sources.open(), (Open{{v4(8), 0}})) << "it is there from the start";
    const auto connect = [&](SourceAddresses::Place& from) {
        net::Socket socket{handler};
        EXPECT_TRUE(
            sources.of.start_connect(socket, backend.address(), loop.poller(), no_port, from));
    };
    std::array<SourceAddresses::Place, 3> from{};
    connect(from[0]);
    connect(from[1]);
    EXPECT_EQ(sources.open(), (Open{{v4(8), 2}}));
    sources.use({v4(9)});
    connect(from[2]);
    EXPECT_EQ(sources.open(), (Open{{v4(8), 2}, {v4(9), 1}})) << "the old ones last";
    sources.of.release(from[0]);
    sources.of.release(from[0]);
    EXPECT_EQ(sources.open(), (Open{{v4(8), 1}, {v4(9), 1}})) << "each is given back once";
    sources.use({v4(9), v4(8)});
    sources.of.release(from[1]);
    sources.of.release(from[2]);
    EXPECT_EQ(sources.open(), (Open{{v4(8), 0}, {v4(9), 0}}));
    sources.use({});
    EXPECT_EQ(sources.open(), Open{}) << "nobody asks any more";
}

TEST(SourceAddresses, what_several_workers_have_is_one_figure) {
    SourceBook book(3);
    book.configure({v4(8)});
    for (unsigned worker = 0; worker < 3; ++worker)
        for (unsigned i = 0; i <= worker; ++i) book.cells(v4(8), worker).open.add();
    book.cells(v4(8), 1).open.remove();
    const auto all = book.in_use();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].connections, 5U);
}

TEST(SourceAddresses, other_errors_are_the_backends_and_change_nothing) {
    net::EventLoop loop(1 << 20);
    net::IgnoreHangups handler;
    Sources sources({v4(8), v4(9)});
    metrics::Counter no_port;
    net::Socket socket{handler};
    SourceAddresses::Place from = SourceAddresses::nowhere;
    const auto state = sources.of.start_connect(
        socket, Endpoint::parse("unix:/nowhere/at/all").value(), loop.poller(), no_port, from);
    ASSERT_FALSE(state);
    EXPECT_EQ(state.error().value(), ENOENT);
    EXPECT_EQ(no_port.value(), 0U);
    EXPECT_EQ(*sources.of.current(AF_INET), v4(8));
    EXPECT_EQ(from, SourceAddresses::nowhere);
    EXPECT_EQ(sources.open(), (Open{{v4(8), 0}, {v4(9), 0}}));
}

}  // namespace
}  // namespace penstock::proxy
