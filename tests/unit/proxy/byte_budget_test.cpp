#include "proxy/byte_budget.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "base/timing_wheel.hpp"

namespace penstock::proxy {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

__extension__ using Wide = unsigned __int128;

const TimePoint start = ManualClock().now();

constexpr std::uint64_t full_bucket(std::uint64_t rate) {
    return std::max<std::uint64_t>(rate / 20, 1);
}
// What `rate` earns in `span`, rounded down.
std::uint64_t earned(std::uint64_t rate, Duration span) {
    return static_cast<std::uint64_t>(Wide{rate} * static_cast<std::uint64_t>(span.count()) /
                                      1'000'000'000U);
}
Duration up_to(Random& random, Duration most) {
    return Duration(static_cast<Duration::rep>(random.unit() * static_cast<double>(most.count())));
}

class ByteBudgets : public testing::TestWithParam<std::uint64_t> {
protected:
    std::uint64_t rate = GetParam();
    ByteBudget budget{rate, start};
    Random random{rate};
};

TEST_P(ByteBudgets, starts_with_50_ms_and_saves_no_more) {
    EXPECT_EQ(budget.available(start), full_bucket(rate));
    EXPECT_EQ(budget.available(start + hours(100000)), full_bucket(rate));
    budget.take(full_bucket(rate));
    EXPECT_EQ(budget.available(start + hours(100000)), 0U);
    EXPECT_EQ(budget.available(start + hours(200000)), full_bucket(rate));
}

TEST_P(ByteBudgets, no_window_gives_more_than_rate_and_a_bucket) {
    struct Taken {
        TimePoint at;
        std::uint64_t before;
        std::uint64_t after;
    };
    std::vector<Taken> history;
    std::uint64_t total = 0;
    TimePoint now = start;
    for (int i = 0; i < 600; ++i) {
        // Often less than a byte's time, sometimes several buckets, rarely long.
        const unsigned kind = random.below(10);
        now += up_to(random, kind < 6   ? milliseconds(20)
                             : kind < 9 ? Duration(2'000'000'000 / static_cast<std::int64_t>(rate))
                                        : Duration(seconds(5)));
        std::uint64_t taken = budget.available(now);
        if (random.below(3) == 0) taken = taken == 0 ? 0 : random.next() % (taken + 1);
        budget.take(taken);
        history.push_back({now, total, total + taken});
        total += taken;
    }
    for (std::size_t i = 0; i < history.size(); ++i)
        for (std::size_t j = i; j < history.size(); ++j)
            ASSERT_LE(history[j].after - history[i].before,
                      full_bucket(rate) + earned(rate, history[j].at - history[i].at))
                << "between " << i << " and " << j;
}

TEST_P(ByteBudgets, who_takes_all_there_is_before_it_overflows_loses_nothing) {
    // After taking all, less than a byte is left: the bucket has room for all its bytes but one.
    const std::uint64_t bucket = full_bucket(rate);
    const Duration room(static_cast<Duration::rep>(Wide{bucket - 1} * 1'000'000'000U / Wide{rate}));
    std::uint64_t total = 0;
    TimePoint now = start;
    for (int i = 0; i < 20000; ++i) {
        const std::uint64_t some = budget.available(now);
        budget.take(some);
        total += some;
        // A bucket of one byte overflows unless that is taken at once.
        now = bucket == 1 ? budget.worth_waking_at() : now + up_to(random, room);
    }
    total += budget.available(now);
    const std::uint64_t given = bucket + earned(rate, now - start);
    EXPECT_LE(total, given);
    // A bucket of one byte loses less than a nanosecond with each.
    EXPECT_GE(total + (bucket == 1 ? earned(rate, nanoseconds(20000)) + 1 : 0), given);
}

TEST_P(ByteBudgets, half_a_bucket_is_there_at_that_moment_and_not_before) {
    TimePoint now = start;
    const std::uint64_t half = std::max<std::uint64_t>(full_bucket(rate) / 2, 1);
    for (int i = 0; i < 1000; ++i) {
        budget.take(budget.available(now));
        const TimePoint wake = budget.worth_waking_at();
        ASSERT_GT(wake, now);
        ASSERT_LT(budget.available(wake - nanoseconds(1)), half);
        ASSERT_GE(budget.available(wake), half);
        now = wake + up_to(random, milliseconds(16));
    }
}

INSTANTIATE_TEST_SUITE_P(Rates, ByteBudgets,
                         testing::Values(1, 3, 19, 20, 39, 40, 77, 1000, 65536, 1'000'003,
                                         123'456'789, 999'999'999'9, std::uint64_t{1} << 34));

TEST(ByteBudget, a_pump_that_wakes_late_gets_the_rate_exactly) {
    for (const std::uint64_t rate : {std::uint64_t{2000}, std::uint64_t{1'000'003}}) {
        ByteBudget budget(rate, start);
        Random random(rate);
        std::uint64_t total = 0;
        TimePoint now = start;
        while (now - start < hours(1)) {
            const auto some = budget.available(now);
            budget.take(some);
            total += some;
            now = std::max(budget.worth_waking_at(), now + TimingWheel::resolution) +
                  up_to(random, 2 * TimingWheel::resolution);
        }
        EXPECT_EQ(total + budget.available(now), full_bucket(rate) + earned(rate, now - start));
    }
}

TEST(ByteBudget, time_that_stands_still_or_runs_back_earns_nothing) {
    ByteBudget budget(1000, start);
    budget.take(budget.available(start));
    EXPECT_EQ(budget.available(start), 0U);
    EXPECT_EQ(budget.available(start - seconds(10)), 0U);
    EXPECT_EQ(budget.available(start + milliseconds(10)), 10U);
    budget.take(10);
    EXPECT_EQ(budget.available(start + milliseconds(5)), 0U);
    EXPECT_EQ(budget.available(start + milliseconds(20)), 10U);
}

TEST(ByteBudget, rates_beyond_any_socket_are_cut_without_overflow) {
    ByteBudget budget(~std::uint64_t{0}, start);
    EXPECT_EQ(budget.available(start), (std::uint64_t{1} << 34) / 20);
}

TEST(ByteBudget, zero_and_lifted_are_unlimited) {
    ByteBudget none(0, start);
    EXPECT_EQ(none.available(start), ByteBudget::unlimited);
    none.take(1U << 30);
    EXPECT_EQ(none.available(start), ByteBudget::unlimited);
    ByteBudget budget(10, start);
    budget.take(budget.available(start));
    budget.lift();
    EXPECT_EQ(budget.available(start), ByteBudget::unlimited);
}

}  // namespace
}  // namespace penstock::proxy
