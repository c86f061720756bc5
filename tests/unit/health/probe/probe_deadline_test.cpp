#include "health/probe/deadline.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/deadline.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;

TimePoint now() { return SteadyClock().now(); }

// The stall that a test is about; nothing is waited for.
void stand_still_until(TimePoint until) {
    if (until > now()) std::this_thread::sleep_for(until - now());
}

class DeadlineTest : public testing::Test {
protected:
    void run() { context.run_for(test::scaled(test::patience)); }

    boost::asio::io_context context;
    int fired = 0;
    TimePoint fired_at{};
    std::function<void()> on_expiry = [this] {
        ++fired;
        fired_at = now();
    };
};

TEST_F(DeadlineTest, FiresOnceAndNeverEarly) {
    const TimePoint at = now() + 20ms;
    const Deadline deadline(context, at, on_expiry);
    EXPECT_FALSE(deadline.expired());
    run();
    EXPECT_EQ(fired, 1);
    EXPECT_TRUE(deadline.expired());
    EXPECT_GE(fired_at, at);
}

TEST_F(DeadlineTest, OneThatHasPassedFires) {
    const Deadline deadline(context, now() - 1s, on_expiry);
    run();
    EXPECT_EQ(fired, 1);
}

TEST_F(DeadlineTest, DestroyedBeforeItNeverFiresAndLetsTheLoopEnd) {
    std::optional<Deadline> far(std::in_place, context, now() + 1h, on_expiry);
    std::optional<Deadline> due(std::in_place, context, now() - 1ms, on_expiry);
    far.reset();
    due.reset();
    run();
    EXPECT_TRUE(context.stopped());
    EXPECT_EQ(fired, 0);
}

TEST_F(DeadlineTest, NoDeadlineKeepsNothingBusy) {
    const Deadline deadline(context, no_deadline, on_expiry);
    run();
    EXPECT_TRUE(context.stopped());
    EXPECT_EQ(fired, 0);
}

TEST_F(DeadlineTest, MayBeDestroyedByItsOwnFunction) {
    std::optional<Deadline> deadline;
    deadline.emplace(context, now(), [&] {
        ++fired;
        deadline.reset();
    });
    run();
    EXPECT_EQ(fired, 1);
    EXPECT_FALSE(deadline.has_value());
}

TEST_F(DeadlineTest, MayOutliveTheLoopsWork) {
    auto local = std::make_unique<boost::asio::io_context>();
    std::optional<Deadline> early(std::in_place, *local, now() + 1h, on_expiry);
    early.reset();
    // The handler of a deadline that is still waiting goes with the loop.
    auto shared = std::make_shared<std::optional<Deadline>>();
    shared->emplace(*local, now() + 1h, [shared] { FAIL() << "fired"; });
    shared->reset();
    local.reset();
    EXPECT_EQ(fired, 0);
}

TEST_F(DeadlineTest, R10AfterAStallThereIsMoreTime) {
    const TimePoint at = now() + 10ms;
    const Deadline deadline(context, at, on_expiry);
    const TimePoint resumed = at + 3 * Deadline::stall;
    stand_still_until(resumed);
    run();
    EXPECT_EQ(fired, 1);
    EXPECT_GE(fired_at, resumed + Deadline::stall);
}

TEST_F(DeadlineTest, R10AfterEveryStallNoMoreThanOnce) {
    const TimePoint at = now() + 10ms;
    const Deadline deadline(context, at, on_expiry);
    stand_still_until(at + 2 * Deadline::stall);
    context.run_one();  // notes the stall
    EXPECT_EQ(fired, 0);
    stand_still_until(now() + 3 * Deadline::stall);
    context.run_one();
    EXPECT_EQ(fired, 1);
}

}  // namespace
}  // namespace penstock::health
