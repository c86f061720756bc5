#include "metrics/cells.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "metrics/totals.hpp"

namespace penstock::metrics {
namespace {

TEST(Histogram, each_duration_is_in_the_first_bucket_that_holds_it) {
    WaitHistogram histogram;
    for (const std::uint64_t bound : wait_bounds_us) {
        histogram.record(bound);
        histogram.record(bound + 1);
    }
    histogram.record(0);
    HistogramTotals totals;
    totals += histogram;
    ASSERT_EQ(totals.counts.size(), wait_bounds_us.size() + 1);
    EXPECT_EQ(totals.counts.front(), 2U);
    for (std::size_t i = 1; i < wait_bounds_us.size(); ++i) EXPECT_EQ(totals.counts[i], 2U) << i;
    EXPECT_EQ(totals.counts.back(), 1U);
    EXPECT_EQ(totals.count(), 2 * wait_bounds_us.size() + 1);
}

TEST(Histogram, bounds_of_lifetimes_go_to_seven_days) {
    EXPECT_TRUE(std::ranges::is_sorted(life_bounds_us));
    EXPECT_TRUE(std::ranges::is_sorted(wait_bounds_us));
    EXPECT_EQ(life_bounds_us.back(), 7ULL * 24 * 3600 * 1'000'000);
}

TEST(HistogramTotals, add_up_over_workers) {
    LifeHistogram one;
    LifeHistogram two;
    one.record(10);
    two.record(10);
    two.record(2'000'000);
    HistogramTotals sum;
    sum += one;
    sum += two;
    EXPECT_EQ(sum.count(), 3U);
    EXPECT_EQ(sum.sum_us, 2'000'020U);
    HistogramTotals again;
    again += sum;
    again += HistogramTotals{};
    EXPECT_EQ(again.counts, sum.counts);
}

TEST(HistogramTotals, of_other_bounds_keep_their_sum_and_count) {
    constexpr std::array<std::uint64_t, 3> other_bounds{300, 1'000, 20'000'000};
    HistogramTotals other{.bounds_us = other_bounds, .counts = {1, 2, 4, 8}, .sum_us = 99};
    WaitHistogram own;
    own.record(900);
    HistogramTotals sum;
    sum += own;
    sum += other;
    EXPECT_EQ(sum.count(), 16U);
    EXPECT_EQ(sum.sum_us, 999U);
    EXPECT_EQ(sum.counts[1], 1U) << "300 us are within 500";
    EXPECT_EQ(sum.counts[2], 3U);
    EXPECT_EQ(sum.counts.back(), 12U) << "20 s are beyond all bounds";
}

TEST(Totals, of_processes_add_up_like_those_of_workers) {
    ListenerCells listener;
    listener.accepted.add(3);
    listener.bytes_to_backend.add(5);
    listener.bytes_to_client.add(7);
    listener.accept_error(AcceptError::no_fd).add(11);
    listener.closed_by(CloseReason::denied).add(13);
    listener.would_refuse(CloseReason::denied).add(17);
    listener.duration.record(19);
    ListenerTotals one;
    one += listener;
    ListenerTotals two = one;
    two += one;
    one += listener;
    EXPECT_EQ(two.accepted, one.accepted);
    EXPECT_EQ(two.bytes_to_backend, one.bytes_to_backend);
    EXPECT_EQ(two.bytes_to_client, one.bytes_to_client);
    EXPECT_EQ(two.accept_errors, one.accept_errors);
    EXPECT_EQ(two.closed, one.closed);
    EXPECT_EQ(two.let_pass, one.let_pass);
    EXPECT_EQ(two.duration.counts, one.duration.counts);
    EXPECT_EQ(two.accepted, 6U);
}

TEST(Quantile, lies_within_the_bucket_of_its_rank) {
    std::vector<double> weights(wait_bounds_us.size() + 1);
    EXPECT_EQ(quantile_ms(wait_bounds_us, weights, 0.5), std::nullopt);
    weights[2] = 10;  // 0.5 to 1 ms
    EXPECT_DOUBLE_EQ(*quantile_ms(wait_bounds_us, weights, 0.5), 0.75);
    EXPECT_DOUBLE_EQ(*quantile_ms(wait_bounds_us, weights, 1), 1.0);
    weights[0] = 90;
    EXPECT_LE(*quantile_ms(wait_bounds_us, weights, 0.9), 0.25);
    EXPECT_GT(*quantile_ms(wait_bounds_us, weights, 0.99), 0.5);
    weights.back() = 1000;
    EXPECT_DOUBLE_EQ(*quantile_ms(wait_bounds_us, weights, 0.99), 10'000);
}

// One writer, many readers: no sum is ever less than an earlier one.
TEST(Counter, M8_readers_never_see_it_go_backwards) {
    constexpr std::uint64_t count = 200'000;
    Counter counter;
    std::jthread writer([&] {
        for (std::uint64_t i = 0; i < count; ++i) counter.add();
    });
    std::uint64_t last = 0;
    while (last < count) {
        const std::uint64_t now = counter.value();
        ASSERT_GE(now, last);
        last = now;
    }
}

TEST(Cells, of_two_workers_share_no_cache_line) {
    EXPECT_EQ(alignof(BackendCells), 64U);
    EXPECT_EQ(alignof(ListenerCells), 64U);
    EXPECT_EQ(alignof(UpstreamCells), 64U);
    EXPECT_EQ(alignof(WorkerCells), 64U);
    EXPECT_EQ(sizeof(BackendCells) % 64, 0U);
}

}  // namespace
}  // namespace penstock::metrics
