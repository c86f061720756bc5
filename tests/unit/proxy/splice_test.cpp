#include <string>

#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "tests/unit/proxy/mover_fixture.hpp"

namespace penstock::proxy {
namespace {

/// A direction that splices from its first byte.
class SpliceTest : public MoverTest {
protected:
    SpliceTest() {
        for (int i = 0; i < 2; ++i)
            flow.mode.on_read(net::BufferPool::small, net::BufferPool::small);
        for (int i = 0; i < 2; ++i)
            flow.mode.on_read(net::BufferPool::large, net::BufferPool::large);
        EXPECT_TRUE(flow.mode.wants_splice());
    }

    /// Writes to the source and moves on until neither its peer nor the sink takes any more;
    /// returns what was written.
    std::string clog() {
        std::string sent;
        const std::string block = pattern(1 << 16);
        const auto end = SteadyClock().now() + std::chrono::seconds(20);
        while (SteadyClock().now() < end) {
            const auto n = ::send(source.second.get(), block.data(), block.size(),
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n > 0) sent.append(block, 0, static_cast<std::size_t>(n));
            loop.turn(Duration::zero());
            const Step result = step();
            if (n < 0 && result.kind == StepKind::wait && result.latch == &to.writable) break;
        }
        return sent;
    }
    int waiting_in(int fd) const {
        int bytes = 0;
        ::ioctl(fd, FIONREAD, &bytes);
        return bytes;
    }
};

TEST_F(MoverTest, bulk_is_spliced_and_messages_are_not) {
    const std::string message = pattern(1000);
    for (int i = 0; i < 100; ++i) ASSERT_EQ(relay(message, 1 << 24), message);
    EXPECT_EQ(loop.pipes().open(), 0U) << "a pipe for messages";
    const std::string data = pattern(8 << 20);
    EXPECT_EQ(relay(data, 1 << 24), data);
    EXPECT_EQ(loop.pipes().open(), 1U) << "bulk was copied";
}

// splice() stops before urgent data, which stands in the stream, and says EAGAIN for good.
TEST_F(SpliceTest, rule_2_emptiness_is_confirmed_by_recv) {
    net::say(source.second, "before");
    net::say(source.second, "!", MSG_OOB);
    net::say(source.second, "behind");
    std::string got;
    const auto end = SteadyClock().now() + std::chrono::seconds(20);
    while (got.size() < 13 && SteadyClock().now() < end) {
        loop.turn(Duration::zero());
        std::ignore = step();
        got += read_all();
    }
    EXPECT_EQ(got, "before!behind");
}

// Behind a FIN splice() says 0, whatever came after it.
TEST_F(SpliceTest, rule_2_an_end_is_confirmed_and_a_reset_behind_a_fin_is_an_error) {
    ::shutdown(source.second.get(), SHUT_WR);
    ASSERT_TRUE(net::turn_until(loop, [this] { return (from.seen() & EPOLLRDHUP) != 0; }));
    net::reset_peer(source.second);
    ASSERT_TRUE(net::turn_until(loop, [this] { return (from.seen() & EPOLLERR) != 0; }));
    EXPECT_EQ(step().kind, StepKind::read_failed);
}

// A pipe that is full makes splice() say EAGAIN as an empty socket does.
TEST_F(SpliceTest, rule_2_bytes_in_the_pipe_wait_for_the_reader_and_leave_the_source_readable) {
    std::string sent = clog();
    ASSERT_NE(flow.pipe, nullptr);
    EXPECT_GT(flow.pipe->size(), 0U);
    EXPECT_FALSE(flow.empty());
    EXPECT_GT(waiting_in(from.fd()), 0);
    EXPECT_TRUE(from.readable.ready()) << "no edge will tell of what is there already";
    std::string got;
    const auto end = SteadyClock().now() + std::chrono::seconds(20);
    while (got.size() < sent.size() && SteadyClock().now() < end) {
        got += read_all();
        loop.turn(Duration::zero());
        std::ignore = step();
    }
    EXPECT_TRUE(got == sent) << got.size() << " of " << sent.size();
}

TEST_F(SpliceTest, rule_2_an_end_is_told_only_with_an_empty_pipe) {
    const std::string sent = clog();
    ::shutdown(source.second.get(), SHUT_WR);
    std::string got;
    Step result{};
    const auto end = SteadyClock().now() + std::chrono::seconds(20);
    do {
        got += read_all(4096);
        loop.turn(Duration::zero());
        result = step();
    } while (result.kind != StepKind::end_of_stream && SteadyClock().now() < end);
    ASSERT_EQ(result.kind, StepKind::end_of_stream);
    EXPECT_TRUE(flow.empty());
    EXPECT_EQ(flow.bytes, sent.size());
    got += read(sent.size() - got.size());
    EXPECT_TRUE(got == sent) << got.size() << " of " << sent.size();
}

TEST_F(SpliceTest, rule_2_a_pipe_with_bytes_in_it_serves_nobody_else) {
    clog();
    ASSERT_NE(flow.pipe, nullptr);
    ASSERT_GT(flow.pipe->size(), 0U);
    release_memory(flow, loop);
    net::Pipe* next = loop.pipes().take();
    ASSERT_NE(next, nullptr);
    EXPECT_EQ(waiting_in(next->read_end()), 0) << "bytes of another connection";
    loop.pipes().give_back(next, loop.now());
}

}  // namespace
}  // namespace penstock::proxy
