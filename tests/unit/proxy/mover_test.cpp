#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/proxy/mover_fixture.hpp"

namespace penstock::proxy {
namespace {

TEST_F(MoverTest, a_message_goes_through_and_leaves_no_memory_behind) {
    net::say(source.second, "ping");
    ASSERT_TRUE(wait_readable());
    const Step result = step();
    EXPECT_EQ(result.kind, StepKind::wait);
    EXPECT_EQ(result.latch, &from.readable);
    EXPECT_EQ(read(4), "ping");
    EXPECT_EQ(flow.bytes, 4U);
    EXPECT_TRUE(flow.empty());
    EXPECT_EQ(loop.buffers().bytes_in_use(), 0U);
}

TEST_F(MoverTest, B13_an_end_is_told_only_after_everything_before_it) {
    net::say(source.second, "last");
    ::shutdown(source.second.get(), SHUT_WR);
    ASSERT_TRUE(net::turn_until(loop, [this] { return (from.seen() & EPOLLRDHUP) != 0; }));
    EXPECT_EQ(step().kind, StepKind::end_of_stream);
    EXPECT_EQ(read(4), "last");
}

// A peer that is always faster than the proxy, and one that always takes everything.
struct Endless final : net::Watch {
    net::IoResult recv(std::span<std::byte> into) noexcept {
        return {net::IoStatus::ok, static_cast<std::uint32_t>(std::min(into.size(), most))};
    }
    net::IoResult peek(std::span<std::byte> into) noexcept { return recv(into); }
    net::IoResult discard(std::size_t size) noexcept {
        return {net::IoStatus::ok, static_cast<std::uint32_t>(size)};
    }
    net::IoResult send(std::span<const std::byte> from) noexcept {
        return {net::IoStatus::ok, static_cast<std::uint32_t>(from.size())};
    }
    net::IoResult shutdown_write() noexcept { return {net::IoStatus::ok}; }
    std::size_t most = 1U << 20;
};

TEST(Mover, rule_10_a_fast_peer_has_to_yield) {
    for (const std::size_t message : {std::size_t{1}, std::size_t{1} << 20}) {
        net::EventLoop loop(1 << 20);
        Flow flow;
        Endless source;
        Endless sink;
        source.most = message;
        source.readable.set(loop.ready());
        Mover mover(loop, flow, source, sink);
        EXPECT_EQ(mover.run().kind, StepKind::yield);
        EXPECT_GT(mover.moved(), 0U);
        EXPECT_LE(mover.moved(), byte_budget + net::EventLoop::scratch_size);
        release_memory(flow, loop);
    }
}

TEST_F(MoverTest, bulk_arrives_exactly_through_copy_and_splice) {
    const std::string data = pattern(8 << 20);
    EXPECT_EQ(relay(data, 1 << 24), data);
    EXPECT_EQ(flow.bytes, data.size());
}

TEST_F(MoverTest, N11_a_slow_reader_gets_everything_and_pins_little) {
    const std::string data = pattern(12 << 20);
    EXPECT_EQ(relay(data, 4096), data);
    EXPECT_LE(loop.buffers().bytes_in_use(), net::BufferPool::large);
    EXPECT_LE(loop.pipes().open(), 1U);
}

TEST_F(MoverTest, an_idle_direction_holds_no_pipe) {
    const std::string data = pattern(4 << 20);
    ASSERT_EQ(relay(data, 1 << 24), data);
    loop.turn(Duration::zero());
    step();
    EXPECT_EQ(flow.pipe, nullptr);
}

class MoverWithoutBuffers : public MoverTest {
protected:
    MoverWithoutBuffers() : MoverTest(0) {}
};

TEST_F(MoverWithoutBuffers, at_the_cap_it_peeks_and_loses_nothing) {
    const std::string data = pattern(3 << 20);
    EXPECT_EQ(relay(data, 10000), data);
    EXPECT_EQ(loop.buffers().bytes_in_use(), 0U);
}

TEST_F(MoverTest, a_reset_reader_is_a_failed_write) {
    net::reset_peer(sink.second);
    ASSERT_TRUE(net::turn_until(loop, [this] { return (to.seen() & EPOLLERR) != 0; }));
    net::say(source.second, "to nobody");
    ASSERT_TRUE(wait_readable());
    EXPECT_EQ(step().kind, StepKind::write_failed);
}

TEST_F(MoverTest, a_reset_source_fails_behind_its_data) {
    net::say(source.second, "before");
    net::reset_peer(source.second);
    ASSERT_TRUE(net::turn_until(loop, [this] { return (from.seen() & EPOLLERR) != 0; }));
    EXPECT_EQ(step().kind, StepKind::read_failed);
    EXPECT_EQ(read(6), "before");
}

}  // namespace
}  // namespace penstock::proxy
