#include "balancer/retry_policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace penstock::balancer {
namespace {

using namespace std::chrono_literals;

constexpr RetryDecision give_up{RetryAction::give_up};
constexpr RetryDecision try_another{RetryAction::try_another};

TEST(RetryPolicy, decides_by_attempts_left_and_others_left) {
    struct Case {
        std::uint32_t attempts;
        std::string others_left;  // y or n, one for each failure
        std::string decisions;    // a = another, w = wait, g = give up
    };
    const Case cases[] = {
        {0, "y", "g"},         {1, "y", "g"},       {1, "n", "g"},     {2, "yy", "ag"},
        {2, "nn", "wg"},       {3, "yyy", "aag"},   {3, "nnn", "wwg"}, {3, "ynn", "awg"},
        {5, "ynynn", "awawg"}, {4, "nyyy", "waag"},
    };
    for (const auto& c : cases) {
        RetryPolicy policy(c.attempts, 25ms, 250ms);
        Random random(1);
        std::string decisions;
        for (const char other : c.others_left) {
            const auto decision = policy.on_failure(other == 'y', random);
            decisions += decision.action == RetryAction::try_another ? 'a'
                         : decision.action == RetryAction::wait      ? 'w'
                                                                     : 'g';
            EXPECT_TRUE(decision.action == RetryAction::wait || decision.wait == 0ns);
        }
        EXPECT_EQ(decisions, c.decisions) << c.attempts << ' ' << c.others_left;
        EXPECT_EQ(policy.failures(), c.others_left.size());
    }
}

TEST(RetryPolicy, goes_on_giving_up) {
    RetryPolicy policy(1, 1ms, 1ms);
    Random random(1);
    for (int n = 0; n < 3; ++n) EXPECT_EQ(policy.on_failure(true, random), give_up);
}

// Lowest and highest of many n-th waits (n from 0), in parts of `limit`.
void expect_full_jitter(Duration base, Duration max, int n, Duration limit) {
    Random random(99);
    constexpr int samples = 4000;
    double sum = 0;
    Duration lowest = Duration::max();
    Duration highest{};
    for (int sample = 0; sample < samples; ++sample) {
        RetryPolicy policy(1000, base, max);
        for (int earlier = 0; earlier < n; ++earlier)
            static_cast<void>(policy.on_failure(false, random));
        const auto decision = policy.on_failure(false, random);
        ASSERT_EQ(decision.action, RetryAction::wait);
        ASSERT_GE(decision.wait, 0ns);
        ASSERT_LE(decision.wait, limit);
        lowest = std::min(lowest, decision.wait);
        highest = std::max(highest, decision.wait);
        sum += static_cast<double>(decision.wait.count());
    }
    const double top = static_cast<double>(limit.count());
    EXPECT_NEAR(sum / samples, top / 2, top * 0.03);
    EXPECT_LT(static_cast<double>(lowest.count()), top * 0.01);
    EXPECT_GT(static_cast<double>(highest.count()), top * 0.99);
}

TEST(RetryPolicy, waits_are_uniform_up_to_a_limit_that_doubles_to_its_cap) {
    expect_full_jitter(25ms, 250ms, 0, 25ms);
    expect_full_jitter(25ms, 250ms, 1, 50ms);
    expect_full_jitter(25ms, 250ms, 3, 200ms);
    expect_full_jitter(25ms, 250ms, 4, 250ms);
    expect_full_jitter(25ms, 250ms, 100, 250ms);
    expect_full_jitter(300ms, 250ms, 0, 250ms);
}

TEST(RetryPolicy, trying_another_backend_does_not_lengthen_the_next_wait) {
    Random random(3);
    for (int sample = 0; sample < 1000; ++sample) {
        RetryPolicy policy(10, 25ms, 250ms);
        for (int n = 0; n < 5; ++n) ASSERT_EQ(policy.on_failure(true, random), try_another);
        ASSERT_LE(policy.on_failure(false, random).wait, 25ms);
    }
}

TEST(RetryPolicy, extremes_of_the_backoff_neither_overflow_nor_hang) {
    struct Case {
        Duration base;
        Duration max;
    };
    for (const auto& c : {Case{0ms, 250ms}, Case{1ns, never}, Case{never, never}, Case{1ms, 0ms}}) {
        RetryPolicy policy(200, c.base, c.max);
        Random random(4);
        for (int n = 0; n < 199; ++n) {
            const auto decision = policy.on_failure(false, random);
            ASSERT_EQ(decision.action, RetryAction::wait);
            ASSERT_GE(decision.wait, 0ns);
            ASSERT_LE(decision.wait, c.max);
        }
    }
}

}  // namespace
}  // namespace penstock::balancer
