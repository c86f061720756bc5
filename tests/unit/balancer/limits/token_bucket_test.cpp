#include "balancer/limits/token_bucket.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.hpp"

namespace penstock::balancer {
namespace {

using namespace std::chrono_literals;

constexpr TimePoint start{1h};

struct Case {
    std::uint64_t amount;
    Duration per;
    std::uint64_t burst;
};

class TokenBucketOf : public testing::TestWithParam<Case> {
protected:
    TokenLine line() const { return {GetParam().amount, GetParam().per, GetParam().burst}; }
    /// Tokens that fall due in `time`, as an exact fraction rounded down.
    std::uint64_t due_in(Duration time) const {
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::uint64_t>(Wide{GetParam().amount} *
                                          static_cast<std::uint64_t>(time.count()) /
                                          static_cast<std::uint64_t>(GetParam().per.count()));
    }
};

TEST_P(TokenBucketOf, a_fresh_one_holds_its_burst_and_no_more) {
    TokenBucket bucket(line());
    for (std::uint64_t i = 0; i < GetParam().burst; ++i) {
        auto token = bucket.try_take(start);
        ASSERT_TRUE(token) << i;
        token.spend();
    }
    EXPECT_FALSE(bucket.has_token(start));
    EXPECT_FALSE(bucket.try_take(start));
}

TEST_P(TokenBucketOf, all_of_the_burst_is_used_exactly_when_there_is_no_token) {
    TokenBucket bucket(line());
    EXPECT_EQ(bucket.used(start), 0U);
    for (std::uint64_t i = 1; i <= GetParam().burst; ++i) {
        bucket.try_take(start).spend();
        ASSERT_EQ(bucket.used(start), i);
    }
    const TimePoint due = bucket.next_token();
    EXPECT_EQ(bucket.used(due - 1ns), GetParam().burst);
    EXPECT_EQ(bucket.used(due), GetParam().burst - 1);
}

TEST_P(TokenBucketOf, next_token_is_the_very_nanosecond) {
    TokenBucket bucket(line());
    TimePoint now = start;
    for (std::uint64_t i = 0; i < GetParam().burst; ++i) bucket.try_take(now).spend();
    for (int i = 0; i < 200; ++i) {
        const TimePoint due = bucket.next_token();
        ASSERT_GT(due, now);
        EXPECT_FALSE(bucket.has_token(due - 1ns));
        auto token = bucket.try_take(due);
        ASSERT_TRUE(token);
        token.spend();
        now = due;
    }
    // No error adds up: the 200th came when the rate says.
    EXPECT_GE(due_in(now - start + 1ns), 200U);
    EXPECT_LE(due_in(now - start - 1ns), 200U);
}

// Whatever the moments of asking, no window has more than burst + rate x length, and who asks often
// gets the full rate.
TEST_P(TokenBucketOf, every_window_keeps_the_rate) {
    TokenBucket bucket(line());
    Random random(7);
    const Duration token_time = GetParam().per / static_cast<std::int64_t>(GetParam().amount);
    std::vector<TimePoint> taken;
    TimePoint now = start;
    for (int i = 0; i < 4000; ++i) {
        // Mostly much faster than the rate, sometimes after a rest.
        now += Duration(std::max<std::int64_t>(
            static_cast<std::int64_t>(random.unit() * static_cast<double>(token_time.count()) / 4),
            random.below(2)));
        if (random.below(500) == 0) now += token_time * (random.below(20) + 1);
        if (auto token = bucket.try_take(now)) {
            token.spend();
            taken.push_back(now);
        }
    }
    ASSERT_GT(taken.size(), 100U);
    for (std::size_t from = 0; from < taken.size(); from += 7)
        for (std::size_t to = from; to < taken.size(); to += 11)
            ASSERT_LE(to - from + 1, GetParam().burst + due_in(taken[to] - taken[from] + 1ns))
                << from << ' ' << to;
}

TEST_P(TokenBucketOf, a_token_given_back_is_there_again_and_only_once) {
    TokenBucket bucket(line());
    for (std::uint64_t i = 1; i < GetParam().burst; ++i) bucket.try_take(start).spend();
    {
        auto last = bucket.try_take(start);
        ASSERT_TRUE(last);
        EXPECT_FALSE(bucket.has_token(start));
        auto moved = std::move(last);
        EXPECT_FALSE(last);  // NOLINT(bugprone-use-after-move): empty after a move
        moved.give_back();
        moved.give_back();
    }
    EXPECT_TRUE(bucket.has_token(start));
    bucket.try_take(start).spend();
    EXPECT_FALSE(bucket.has_token(start));
}

TEST(TokenBucket, a_token_that_has_fallen_due_meanwhile_is_not_given_back_twice) {
    TokenBucket bucket(TokenLine(10, 1s, 2));
    auto kept = bucket.try_take(start);
    const TimePoint later = start + 5s + 37ms;  // full again long before
    bucket.try_take(later).spend();
    bucket.try_take(later).spend();
    kept.give_back();
    EXPECT_FALSE(bucket.has_token(later));
}

INSTANTIATE_TEST_SUITE_P(Rates, TokenBucketOf,
                         testing::Values(Case{1, 1s, 1}, Case{100, 1s, 100}, Case{10, 60s, 20},
                                         Case{3, 1s, 1}, Case{7, 3600s, 5}, Case{999'983, 1s, 10},
                                         Case{1'000'000'000, 1s, 3}, Case{1, 24h, 2}));

TEST(TokenLine, an_hour_of_thirds_is_exact) {
    TokenBucket bucket(TokenLine(3, 1s, 1));
    std::uint64_t taken = 0;
    for (TimePoint now = start; now < start + 1h; now += 1ms)
        if (auto token = bucket.try_take(now)) {
            token.spend();
            ++taken;
        }
    // One at once, then 3 a second; asking each millisecond misses up to 1 ms of each.
    EXPECT_LE(taken, 3U * 3600 + 1);
    EXPECT_GE(taken, 3U * 3600 * 995 / 1000);
}

TEST(TokenLine, a_bucket_that_was_left_alone_is_as_good_as_a_fresh_one) {
    const TokenLine line(2, 1s, 4);
    std::uint64_t spent = 0;
    for (int i = 0; i < 4; ++i) spent = line.take(spent, start).value();
    EXPECT_FALSE(line.is_full(spent, start + 1999ms));
    EXPECT_TRUE(line.is_full(spent, start + 2s));
    EXPECT_TRUE(line.is_full(0, start));
}

TEST(TokenLine, works_after_decades_and_with_absurd_numbers) {
    const TimePoint old{std::chrono::hours(24 * 365 * 39)};
    for (const auto& [amount, per, burst] :
         {Case{1'000'000'000'000, 1s, 1}, Case{1, 1h, std::uint64_t{1} << 60},
          Case{1, std::chrono::hours(1), 1}}) {
        TokenBucket bucket(TokenLine(amount, per, burst));
        auto token = bucket.try_take(old);
        EXPECT_TRUE(token) << amount;
        EXPECT_LE(bucket.next_token(), old + per) << amount;
    }
}

// A clock of another thread may be a little behind.
TEST(TokenLine, time_that_runs_back_gives_nothing) {
    TokenBucket bucket(TokenLine(10, 1s, 1));
    bucket.try_take(start).spend();
    EXPECT_FALSE(bucket.has_token(start - 10ms));
    EXPECT_FALSE(bucket.has_token(start + 99ms));
    EXPECT_TRUE(bucket.has_token(start + 100ms));
}

}  // namespace
}  // namespace penstock::balancer
