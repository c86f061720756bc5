#include "net/socket.hpp"

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "net/event_loop.hpp"
#include "tests/unit/net/socket_pair.hpp"

namespace penstock::net {
namespace {

class SocketTest : public testing::Test {
protected:
    EventLoop loop{1 << 20};
    IgnoreHangups handler;
    Socket socket{handler};
    UniqueFd peer;
    std::array<std::byte, 4096> buffer{};

    void use(std::pair<UniqueFd, UniqueFd> pair, SocketKind kind = SocketKind::tcp) {
        socket.adopt(std::move(pair.first), kind);
        peer = std::move(pair.second);
        ASSERT_FALSE(loop.poller().add(socket, Poller::stream_events));
    }
    bool wait_readable() {
        return turn_until(loop, [this] { return socket.readable.ready(); });
    }
    std::string text(IoResult result) {
        return {reinterpret_cast<const char*>(buffer.data()), result.bytes};
    }
};

TEST_F(SocketTest, rule_1_a_short_read_clears_the_latch_of_a_plain_tcp_socket) {
    use(tcp_pair());
    say(peer, "hello");
    ASSERT_TRUE(wait_readable());
    EXPECT_EQ(text(socket.recv(buffer)), "hello");
    EXPECT_FALSE(socket.readable.ready());
}

TEST_F(SocketTest, rule_1_a_full_read_does_not_clear_it) {
    use(tcp_pair());
    say(peer, "hello");
    ASSERT_TRUE(wait_readable());
    socket.recv(std::span(buffer).first(3));
    EXPECT_TRUE(socket.readable.ready());
}

TEST_F(SocketTest, rule_1_data_and_fin_in_one_event_still_show_the_end) {
    use(tcp_pair());
    say(peer, "bye");
    ::shutdown(peer.get(), SHUT_WR);
    ASSERT_TRUE(turn_until(loop, [this] { return (socket.seen() & EPOLLRDHUP) != 0; }));
    EXPECT_EQ(text(socket.recv(buffer)), "bye");
    EXPECT_TRUE(socket.readable.ready()) << "no further edge will tell of the FIN";
    EXPECT_EQ(socket.recv(buffer).status, IoStatus::eof);
}

TEST_F(SocketTest, rule_1_bytes_behind_urgent_data_are_not_forgotten) {
    use(tcp_pair());
    say(peer, "one");
    say(peer, "!", MSG_OOB);
    say(peer, "two");
    ASSERT_TRUE(turn_until(loop, [this] { return (socket.seen() & EPOLLPRI) != 0; }));
    std::string all;
    // No further edge tells of what came with the urgent byte: the latch must still be set.
    EXPECT_TRUE(turn_until(loop, [&] {
        while (socket.readable.ready()) {
            const auto result = socket.recv(buffer);
            if (!result.ok()) break;
            all += text(result);
        }
        return all.size() == 7;
    }));
    EXPECT_EQ(all, "one!two");
}

TEST_F(SocketTest, rule_1_on_a_unix_socket_only_eagain_clears) {
    use(unix_pair(), SocketKind::unix_stream);
    say(peer, "hello");
    ASSERT_TRUE(wait_readable());
    socket.recv(buffer);
    EXPECT_TRUE(socket.readable.ready());
    EXPECT_EQ(socket.recv(buffer).status, IoStatus::want_read);
    EXPECT_FALSE(socket.readable.ready());
}

TEST_F(SocketTest, rule_3_the_first_error_is_kept_and_an_end_after_it_is_an_error) {
    use(tcp_pair());
    reset_peer(peer);
    ASSERT_TRUE(turn_until(loop, [this] { return (socket.seen() & EPOLLERR) != 0; }));
    ASSERT_TRUE(socket.check_error());
    EXPECT_EQ(socket.error().value(), ECONNRESET);
    EXPECT_EQ(socket.recv(buffer).status, IoStatus::error) << "the kernel says 0 by now";
    EXPECT_EQ(socket.error().value(), ECONNRESET);
}

TEST_F(SocketTest, rule_3_a_reset_behind_a_fin_is_no_clean_end) {
    use(tcp_pair());
    ::shutdown(peer.get(), SHUT_WR);
    ASSERT_TRUE(turn_until(loop, [this] { return (socket.seen() & EPOLLRDHUP) != 0; }));
    reset_peer(peer);
    ASSERT_TRUE(turn_until(loop, [this] { return (socket.seen() & EPOLLERR) != 0; }));
    EXPECT_EQ(socket.recv(buffer).status, IoStatus::error);
}

TEST_F(SocketTest, rule_4_data_before_a_reset_is_still_read) {
    use(tcp_pair());
    say(peer, "last words");
    reset_peer(peer);
    ASSERT_TRUE(turn_until(loop, [this] { return (socket.seen() & EPOLLERR) != 0; }));
    EXPECT_EQ(text(socket.recv(buffer)), "last words");
    EXPECT_EQ(socket.recv(buffer).status, IoStatus::error);
}

TEST_F(SocketTest, rule_4_a_hang_up_reaches_the_handler_without_any_waiter) {
    use(tcp_pair());
    reset_peer(peer);
    EXPECT_TRUE(turn_until(loop, [this] { return handler.calls > 0; }));
}

TEST_F(SocketTest, rule_2_splice_reports_what_it_moved_and_recv_confirms_the_end) {
    use(tcp_pair());
    Pipe* pipe = loop.pipes().take();
    ASSERT_NE(pipe, nullptr);
    EXPECT_EQ(socket.splice_in(*pipe).status, IoStatus::want_read);
    EXPECT_EQ(socket.recv(buffer).status, IoStatus::want_read) << "empty, not ended";
    say(peer, "data");
    ::shutdown(peer.get(), SHUT_WR);
    ASSERT_TRUE(turn_until(loop, [this] { return (socket.seen() & EPOLLRDHUP) != 0; }));
    EXPECT_EQ(socket.splice_in(*pipe).bytes, 4U);
    EXPECT_EQ(pipe->size(), 4U);
    EXPECT_EQ(socket.splice_in(*pipe).status, IoStatus::eof);
    EXPECT_EQ(socket.recv(buffer).status, IoStatus::eof);
    EXPECT_EQ(socket.splice_out(*pipe).bytes, 4U);
    EXPECT_EQ(pipe->size(), 0U);
    loop.pipes().give_back(pipe, loop.now());
}

TEST_F(SocketTest, a_blocked_send_clears_writable_until_the_peer_reads) {
    use(tcp_pair());
    ASSERT_TRUE(turn_until(loop, [this] { return socket.writable.ready(); }));
    std::vector<std::byte> much(1 << 20);
    while (socket.send(much).ok()) {
    }
    EXPECT_FALSE(socket.writable.ready());
    std::array<char, 65536> sink;
    EXPECT_TRUE(turn_until(loop, [&] {
        (void)!::recv(peer.get(), sink.data(), sink.size(), MSG_DONTWAIT);
        return socket.writable.ready();
    }));
}

TEST_F(SocketTest, peek_leaves_the_bytes_and_discard_takes_them) {
    for (const bool unix_socket : {false, true}) {
        use(unix_socket ? unix_pair() : tcp_pair(),
            unix_socket ? SocketKind::unix_stream : SocketKind::tcp);
        say(peer, "abcdef");
        ASSERT_TRUE(wait_readable());
        EXPECT_EQ(text(socket.peek(buffer)), "abcdef");
        EXPECT_EQ(socket.discard(2).bytes, 2U);
        EXPECT_EQ(text(socket.recv(buffer)), "cdef");
    }
}

TEST_F(SocketTest, finish_sends_a_fin_even_with_unread_bytes) {
    use(tcp_pair());
    say(peer, "nobody reads this");
    ASSERT_TRUE(wait_readable());
    socket.finish();
    std::array<char, 16> sink;
    EXPECT_EQ(::recv(peer.get(), sink.data(), sink.size(), 0), 0);
}

TEST_F(SocketTest, reset_shows_as_a_reset) {
    use(tcp_pair());
    socket.reset();
    std::array<char, 16> sink;
    EXPECT_EQ(::recv(peer.get(), sink.data(), sink.size(), 0), -1);
    EXPECT_EQ(errno, ECONNRESET);
}

}  // namespace
}  // namespace penstock::net
