#include "proxy/pool/pool_sizer.hpp"

#include <gtest/gtest.h>

#include "proxy/pool/reopen_pause.hpp"

namespace penstock::proxy {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint start{std::chrono::hours(1)};

TEST(PoolSizer, stays_at_its_least_without_arrivals) {
    PoolSizer sizer(2, 10);
    sizer.on_opened(milliseconds(20));
    EXPECT_EQ(sizer.target(start), 2U);
    EXPECT_EQ(sizer.target(start + seconds(100)), 2U);
}

TEST(PoolSizer, follows_the_arrival_rate_and_forgets_it) {
    PoolSizer sizer(1, 10);
    sizer.on_opened(milliseconds(20));
    TimePoint now = start;
    for (int i = 0; i < 60'000; ++i) {  // 100 a second for ten minutes
        now += milliseconds(10);
        sizer.on_arrival(now);
    }
    // Two come while one is opened; twice that is kept ready, and the least.
    EXPECT_EQ(sizer.target(now), 5U);
    EXPECT_LT(sizer.target(now + seconds(20)), 3U);
    EXPECT_EQ(sizer.target(now + seconds(120)), 1U);
}

TEST(PoolSizer, never_exceeds_its_most) {
    PoolSizer sizer(1, 3);
    sizer.on_opened(seconds(1));
    TimePoint now = start;
    for (int i = 0; i < 1000; ++i) sizer.on_arrival(now += milliseconds(1));
    EXPECT_EQ(sizer.target(now), 3U);
    PoolSizer fixed(4, 0);
    fixed.on_opened(seconds(1));
    for (int i = 0; i < 1000; ++i) fixed.on_arrival(now += milliseconds(1));
    EXPECT_EQ(fixed.target(now), 4U) << "max_idle 0 = as min_idle";
}

TEST(PoolShare, adds_up_to_the_figure_and_is_even) {
    for (const std::size_t workers : {1U, 2U, 3U, 8U})
        for (const std::uint32_t figure : {0U, 1U, 2U, 7U, 64U})
            for (std::size_t backend = 0; backend < 10; ++backend) {
                std::uint32_t sum = 0;
                for (std::size_t worker = 0; worker < workers; ++worker) {
                    const auto share = pool_share(figure, worker, workers, backend);
                    EXPECT_LE(share, figure / workers + 1);
                    EXPECT_GE(share, figure / workers);
                    sum += share;
                }
                EXPECT_EQ(sum, figure);
            }
    EXPECT_NE(pool_share(1, 0, 2, 0), pool_share(1, 0, 2, 1)) << "the remainder goes round";
}

TEST(ReopenPause, doubles_up_to_a_bound_and_starts_anew_after_success) {
    ReopenPause pause;
    Random random(3);
    EXPECT_LE(pause.not_before(), start);
    Duration limit = ReopenPause::first;
    for (int i = 0; i < 20; ++i) {
        pause.on_failure(start, random);
        EXPECT_GE(pause.not_before() - start, limit / 2) << i;
        EXPECT_LE(pause.not_before() - start, limit) << i;
        limit = std::min(limit * 2, ReopenPause::longest);
    }
    pause.on_success();
    EXPECT_LE(pause.not_before(), start);
    pause.on_failure(start, random);
    EXPECT_LE(pause.not_before() - start, ReopenPause::first);
}

}  // namespace
}  // namespace penstock::proxy
