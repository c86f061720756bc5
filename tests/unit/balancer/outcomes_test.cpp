#include "balancer/outcomes.hpp"

#include <gtest/gtest.h>

namespace penstock::balancer {
namespace {

TEST(Outcomes, counts_by_kind_and_in_a_row) {
    Outcomes outcomes;
    const CircuitPass pass = *outcomes.circuit().try_pass();
    for (int n = 0; n < 3; ++n) EXPECT_FALSE(outcomes.failed(pass, Failure::refused));
    EXPECT_FALSE(outcomes.failed(pass, Failure::tls));
    OutcomeTotals totals = outcomes.totals();
    EXPECT_EQ(totals.failures[std::to_underlying(Failure::refused)], 3U);
    EXPECT_EQ(totals.failures[std::to_underlying(Failure::tls)], 1U);
    EXPECT_EQ(totals.failed(), 4U);
    EXPECT_EQ(totals.consecutive, 4U);
    EXPECT_FALSE(outcomes.succeeded(pass));
    totals = outcomes.totals();
    EXPECT_EQ(totals.successes, 1U);
    EXPECT_EQ(totals.consecutive, 0U);
    EXPECT_EQ(totals.failed(), 4U);
}

TEST(Outcomes, the_threshold_is_said_once_until_it_is_read) {
    Outcomes outcomes;
    outcomes.set_alarm(3);
    const CircuitPass pass = *outcomes.circuit().try_pass();
    EXPECT_FALSE(outcomes.failed(pass, Failure::timeout));
    EXPECT_FALSE(outcomes.failed(pass, Failure::timeout));
    EXPECT_TRUE(outcomes.failed(pass, Failure::timeout));
    EXPECT_FALSE(outcomes.failed(pass, Failure::timeout));
    EXPECT_EQ(outcomes.totals().consecutive, 4U);
    EXPECT_TRUE(outcomes.failed(pass, Failure::timeout)) << "still above it";
    (void)outcomes.totals();
    outcomes.forget_row();
    EXPECT_FALSE(outcomes.failed(pass, Failure::timeout));
    outcomes.set_alarm(0);
    for (int n = 0; n < 100; ++n) EXPECT_FALSE(outcomes.failed(pass, Failure::timeout));
}

TEST(Outcomes, the_end_of_each_trial_is_worth_an_alarm) {
    Outcomes outcomes;
    outcomes.circuit().half_open(2);
    const CircuitPass first = *outcomes.circuit().try_pass();
    const CircuitPass second = *outcomes.circuit().try_pass();
    EXPECT_TRUE(outcomes.succeeded(first));
    EXPECT_EQ(outcomes.totals().trials.succeeded, 1U);
    EXPECT_TRUE(outcomes.failed(second, Failure::early_reset));
    EXPECT_EQ(outcomes.totals().trials.failed, 1U);
}

TEST(Outcomes, what_is_stale_or_forced_counts_nowhere) {
    Outcomes outcomes;
    outcomes.set_alarm(1);
    const CircuitPass before = *outcomes.circuit().try_pass();
    outcomes.circuit().open();
    EXPECT_FALSE(outcomes.failed(before, Failure::refused));
    EXPECT_FALSE(outcomes.succeeded(before));
    const CircuitPass forced = outcomes.circuit().pass_anyway();
    EXPECT_FALSE(outcomes.failed(forced, Failure::refused));
    EXPECT_FALSE(outcomes.succeeded(forced));
    outcomes.circuit().half_open(1);
    EXPECT_FALSE(outcomes.failed(before, Failure::refused));
    const OutcomeTotals totals = outcomes.totals();
    EXPECT_EQ(totals.successes + totals.failed() + totals.consecutive, 0U);
    EXPECT_EQ(totals.trials.left, 1U);
}

}  // namespace
}  // namespace penstock::balancer
