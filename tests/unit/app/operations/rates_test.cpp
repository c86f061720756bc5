#include "app/operations/rates.hpp"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

TEST(Rate, comes_to_what_the_counter_grows_by) {
    Rate rate;
    std::uint64_t total = 1'000'000;
    rate.sample(total, 1);
    EXPECT_EQ(rate.per_second(), 0) << "the first reading says nothing";
    for (int second = 0; second < 30; ++second) rate.sample(total += 50, 1);
    EXPECT_NEAR(rate.per_second(), 50, 0.5);
    for (int second = 0; second < 5; ++second) rate.sample(total, 1);
    EXPECT_LT(rate.per_second(), 20);
    EXPECT_GT(rate.per_second(), 15);
    for (int second = 0; second < 100; ++second) rate.sample(total, 1);
    EXPECT_EQ(rate.per_second(), 0) << "nothing is nothing at last";
}

TEST(Rate, does_not_depend_on_how_often_it_is_sampled) {
    Rate often;
    Rate seldom;
    for (int i = 0; i <= 400; ++i) often.sample(static_cast<std::uint64_t>(i) * 10, 0.1);
    for (int i = 0; i <= 40; ++i) seldom.sample(static_cast<std::uint64_t>(i) * 100, 1);
    EXPECT_NEAR(often.per_second(), seldom.per_second(), 1);
}

TEST(Rate, a_counter_that_began_anew_gives_no_nonsense) {
    Rate rate;
    rate.sample(1000, 1);
    rate.sample(10, 1);
    EXPECT_EQ(rate.per_second(), 0);
}

TEST(RecentTimes, newer_durations_count_more) {
    metrics::WaitHistogram histogram;
    RecentTimes times;
    const auto sample = [&] {
        metrics::HistogramTotals totals;
        totals += histogram;
        times.sample(totals, 1);
    };
    sample();
    EXPECT_FALSE(times.quantiles().p50_ms);
    for (int i = 0; i < 1000; ++i) histogram.record(100);
    sample();
    EXPECT_LE(*times.quantiles().p99_ms, 0.25);
    for (int second = 0; second < 300; ++second) sample();
    EXPECT_LE(*times.quantiles().p99_ms, 0.25) << "what was last known stays";
    for (int i = 0; i < 100; ++i) histogram.record(80'000);
    sample();
    EXPECT_GT(*times.quantiles().p50_ms, 50) << "long ago weighs little";
}

}  // namespace
}  // namespace penstock::app
