#include "proxy/drain_plan.hpp"

#include <gtest/gtest.h>

#include "proxy/handoff.hpp"

namespace penstock::proxy {
namespace {

using std::chrono::seconds;

const TimePoint start = ManualClock().now();

TEST(DrainPlan, closes_none_before_the_wait_all_at_the_deadline_and_evenly_between) {
    const DrainPlan plan(start, seconds(25), seconds(5));
    EXPECT_EQ(plan.gone_by(start + seconds(24), 100), 0U);
    EXPECT_EQ(plan.gone_by(start + seconds(26), 100), 20U);
    EXPECT_EQ(plan.gone_by(start + seconds(29), 100), 80U);
    EXPECT_EQ(plan.gone_by(start + seconds(30), 100), 100U);
    std::size_t last = 0;
    for (int ms = 0; ms <= 31000; ms += 50) {
        const auto gone = plan.gone_by(start + std::chrono::milliseconds(ms), 77);
        EXPECT_GE(gone, last);
        EXPECT_LE(gone - last, 2U) << ms;
        last = gone;
    }
}

TEST(DrainPlan, without_wait_and_window_everything_is_due_at_once) {
    EXPECT_EQ(DrainPlan(start, Duration(0), Duration(0)).gone_by(start, 5), 5U);
}

TEST(DrainPlan, waiting_for_ever_closes_nothing) {
    const DrainPlan plan(start, never, seconds(5));
    EXPECT_EQ(plan.gone_by(start + std::chrono::hours(1000), 5), 0U);
}

TEST(Handoff, a_single_worker_keeps_everything) {
    WorkerLoads loads(1);
    for (int i = 0; i < 100; ++i) loads.add(0);
    EXPECT_EQ(choose_worker(0, loads), 0U);
}

TEST(Handoff, only_clearly_more_than_the_share_goes_to_the_least_loaded) {
    WorkerLoads loads(3);
    for (int i = 0; i < 10; ++i) loads.add(0);
    for (int i = 0; i < 5; ++i) loads.add(1);
    for (int i = 0; i < 4; ++i) loads.add(2);
    EXPECT_EQ(choose_worker(0, loads), 0U) << "six more than the least is noise";
    for (int i = 0; i < 10; ++i) loads.add(0);
    EXPECT_EQ(choose_worker(0, loads), 2U);
    EXPECT_EQ(choose_worker(1, loads), 1U);
}

TEST(Handoff, one_worker_that_accepts_everything_ends_with_an_even_spread) {
    WorkerLoads loads(4);
    for (int i = 0; i < 4000; ++i) loads.add(choose_worker(0, loads));
    for (std::size_t w = 0; w < 4; ++w) EXPECT_NEAR(loads.at(w), 1000, 260) << w;
}

}  // namespace
}  // namespace penstock::proxy
