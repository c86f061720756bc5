#include "net/poller.hpp"

#include <gtest/gtest.h>

#include "tests/unit/net/socket_pair.hpp"

namespace penstock::net {
namespace {

// Closes the other socket of the same batch of events, and retires it.
struct Pair final : HangupHandler, Retired {
    explicit Pair(int& destroyed_count) : destroyed(destroyed_count) {}
    ~Pair() override { ++destroyed; }
    void on_hangup(Watch&) override {
        ++hangups;
        first.close();
        second.close();
    }
    Socket first{*this};
    Socket second{*this};
    int hangups = 0;
    int& destroyed;
};

// Rule 7: an event of the batch may still name what a handler has closed.
TEST(Poller, rule_7_closing_in_a_handler_leaves_the_rest_of_the_batch_alone) {
    EventLoop loop{1 << 20};
    int destroyed = 0;
    auto* pair = new Pair(destroyed);
    auto [own1, peer1] = tcp_pair();
    auto [own2, peer2] = tcp_pair();
    pair->first.adopt(std::move(own1), SocketKind::tcp);
    pair->second.adopt(std::move(own2), SocketKind::tcp);
    ASSERT_FALSE(loop.poller().add(pair->first, Poller::stream_events));
    ASSERT_FALSE(loop.poller().add(pair->second, Poller::stream_events));
    reset_peer(peer1);
    reset_peer(peer2);
    ASSERT_TRUE(turn_until(loop, [pair] { return pair->hangups > 0; }));
    EXPECT_EQ(pair->hangups, 1) << "the second handler call would see a closed socket";
    loop.retire(pair);
    loop.turn(Duration::zero());
    EXPECT_EQ(destroyed, 1);
}

TEST(Poller, one_edge_per_arrival) {
    EventLoop loop{1 << 20};
    IgnoreHangups handler;
    Socket socket(handler);
    auto [own, peer] = tcp_pair();
    socket.adopt(std::move(own), SocketKind::tcp);
    ASSERT_FALSE(loop.poller().add(socket, Poller::stream_events));
    say(peer, "x");
    ASSERT_TRUE(turn_until(loop, [&] { return socket.readable.ready(); }));
    socket.readable.clear();
    for (int i = 0; i < 3; ++i) loop.turn(Duration::zero());
    EXPECT_FALSE(socket.readable.ready()) << "level-triggered by mistake";
    say(peer, "y");
    EXPECT_TRUE(turn_until(loop, [&] { return socket.readable.ready(); }));
}

}  // namespace
}  // namespace penstock::net
