#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "proxy/byte_budget.hpp"
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

TEST_F(MoverTest, an_allowance_is_never_exceeded_and_leaves_the_rest_readable) {
    net::say(source.second, "0123456789");
    ASSERT_TRUE(wait_readable());
    Mover first(loop, flow, from, to, 4);
    EXPECT_EQ(first.run().kind, StepKind::pause);
    EXPECT_EQ(first.moved(), 4U);
    EXPECT_EQ(read_all(), "0123");
    EXPECT_TRUE(from.readable.ready()) << "a full read proves nothing";
    Mover nothing(loop, flow, from, to, 0);
    EXPECT_EQ(nothing.run().kind, StepKind::pause);
    EXPECT_EQ(nothing.moved(), 0U);
    EXPECT_EQ(read_all(), "");
    Mover more(loop, flow, from, to, 100);
    EXPECT_EQ(more.run().kind, StepKind::wait);
    EXPECT_EQ(read_all(), "456789");
}

TEST(Mover, an_allowance_above_the_budget_of_a_wake_up_still_yields) {
    net::EventLoop loop(1 << 20);
    Flow flow;
    Endless source;
    Endless sink;
    source.readable.set(loop.ready());
    Mover mover(loop, flow, source, sink, byte_budget * 4);
    EXPECT_EQ(mover.run().kind, StepKind::yield);
    Mover exact(loop, flow, source, sink, 100'000);
    EXPECT_EQ(exact.run().kind, StepKind::pause);
    EXPECT_EQ(exact.moved(), 100'000U);
    release_memory(flow, loop);
}

// What the rate promises, whatever a slow receiver makes the flow hold; `pull` = how it reads.
struct Paced {
    std::uint64_t rate;
    std::size_t pull;
};

template <typename Base>
class PacedMover : public Base, public testing::WithParamInterface<Paced> {
protected:
    void relay_paced(std::size_t size) {
        const auto [rate, pull] = GetParam();
        const std::string data = Base::pattern(size);
        ManualClock clock;
        ByteBudget budget(rate, clock.now());
        const TimePoint begin = clock.now();
        std::string got;
        std::size_t sent = 0;
        std::uint64_t moved = 0;
        for (int turns = 0; turns < 200000 && got.size() < size; ++turns) {
            const auto n = ::send(this->source.second.get(), data.data() + sent, size - sent,
                                  MSG_DONTWAIT | MSG_NOSIGNAL);
            if (n > 0) sent += static_cast<std::size_t>(n);
            this->loop.turn(Duration::zero());
            Mover mover(this->loop, this->flow, this->from, this->to,
                        budget.available(clock.now()));
            const Step step = mover.run();
            budget.take(mover.moved());
            moved += mover.moved();
            const std::chrono::duration<double> past = clock.now() - begin;
            ASSERT_LE(static_cast<double>(moved),
                      static_cast<double>(rate) * (past.count() + 0.05) + 1);
            if (step.kind == StepKind::pause) {
                ASSERT_EQ(this->flow.pipe, nullptr) << "a pause holds no pipe";
            }
            spliced = spliced || this->loop.pipes().open() != 0;
            got += this->read_all(pull);
            clock.advance(std::chrono::milliseconds(8));
        }
        EXPECT_EQ(got, data);
    }
    bool spliced = false;
};

using PacedMoverTest = PacedMover<MoverTest>;
TEST_P(PacedMoverTest, keeps_its_rate_and_loses_nothing) {
    relay_paced(4 << 20);
    EXPECT_EQ(spliced, GetParam().rate > 50'000'000) << "bulk is spliced, small portions are not";
}
INSTANTIATE_TEST_SUITE_P(Rates, PacedMoverTest,
                         testing::Values(Paced{1'000'000, 1 << 24}, Paced{1'000'000, 4096},
                                         Paced{100'000'000, 1 << 24}, Paced{100'000'000, 4096}));

using PacedWithoutBuffers = PacedMover<MoverWithoutBuffers>;
TEST_P(PacedWithoutBuffers, keeps_its_rate_and_loses_nothing) { relay_paced(1 << 20); }
INSTANTIATE_TEST_SUITE_P(Rates, PacedWithoutBuffers,
                         testing::Values(Paced{1'000'000, 1 << 24}, Paced{10'000'000, 3000}));

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
