#include "health/circuit/circuit_breaker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using balancer::CircuitState;
using balancer::OutcomeTotals;
using testing::noon;
using Wish = CircuitBreaker::Wish;

constexpr Duration connect_timeout = 4s;
constexpr Duration trial_time = connect_timeout + CircuitBreaker::trial_slack;

class Breaker : public ::testing::Test {
protected:
    void make() { breaker_.emplace(settings_, connect_timeout, totals_); }

    Wish outcome(std::uint64_t successes, std::uint64_t failures) {
        totals_.successes += successes;
        totals_.failures[0] += failures;
        if (successes > 0) totals_.consecutive = 0;
        totals_.consecutive += static_cast<std::uint32_t>(failures);
        return breaker_->on_outcomes(totals_, now_, random_);
    }
    Wish trials(balancer::Circuit::Trials trials) {
        totals_.trials = trials;
        return breaker_->on_outcomes(totals_, now_, random_);
    }
    // What the owner does with a wish.
    void open() {
        breaker_->open(now_, random_);
        totals_.consecutive = 0;
    }
    // Opens it from closed by a row of failures.
    void trip() {
        ASSERT_EQ(outcome(0, settings_.consecutive_failures), Wish::open);
        open();
    }
    void wait() {
        now_ = breaker_->next_timer();
        ASSERT_EQ(breaker_->on_timer(now_), Wish::half_open);
        breaker_->half_open(now_);
    }

    config::CircuitBreaker settings_{};
    OutcomeTotals totals_{};
    std::optional<CircuitBreaker> breaker_;
    Random random_{7};
    TimePoint now_ = noon;
};

TEST_F(Breaker, closed_opens_at_the_nth_failure_in_a_row) {
    make();
    for (int n = 0; n < 4; ++n) EXPECT_EQ(outcome(0, 1), Wish::nothing);
    EXPECT_EQ(outcome(1, 0), Wish::nothing);
    for (int n = 0; n < 4; ++n) EXPECT_EQ(outcome(0, 1), Wish::nothing);
    EXPECT_EQ(outcome(0, 1), Wish::open);
    EXPECT_EQ(breaker_->reason(), "5 connections in a row failed");
    EXPECT_TRUE(breaker_->should_be_open());
    EXPECT_EQ(breaker_->next_timer(), no_deadline);
}

TEST_F(Breaker, closed_opens_at_the_failure_rate_once_there_are_enough_samples) {
    make();
    EXPECT_EQ(outcome(9, 0), Wish::nothing);
    for (int n = 0; n < 3; ++n) {
        EXPECT_EQ(outcome(0, 3), Wish::nothing);
        EXPECT_EQ(outcome(1, 0), Wish::nothing);
    }
    // 12 good ones and 9 failures: 43 %.
    EXPECT_EQ(outcome(0, 2), Wish::nothing);
    EXPECT_EQ(outcome(0, 1), Wish::open);
    EXPECT_EQ(breaker_->reason(), "12 of 24 connections within 10s failed");
}

TEST_F(Breaker, what_is_older_than_the_window_does_not_count) {
    make();
    EXPECT_EQ(outcome(9, 0), Wish::nothing);
    for (int n = 0; n < 4; ++n) {
        EXPECT_EQ(outcome(1, 0), Wish::nothing);
        EXPECT_EQ(outcome(0, 3), Wish::nothing);
    }
    now_ += 10s;
    EXPECT_EQ(outcome(1, 0), Wish::nothing);
    EXPECT_EQ(outcome(0, 1), Wish::nothing);
}

TEST_F(Breaker, either_threshold_can_be_off) {
    settings_.failure_rate = 0;
    make();
    for (int n = 0; n < 100; ++n) {
        EXPECT_EQ(outcome(1, 0), Wish::nothing);
        EXPECT_EQ(outcome(0, 4), Wish::nothing);
    }
    settings_ = {};
    settings_.consecutive_failures = 0;
    settings_.min_samples = 100;
    totals_ = {};
    make();
    EXPECT_EQ(outcome(0, 99), Wish::nothing);
    EXPECT_EQ(outcome(0, 1), Wish::open);
}

TEST_F(Breaker, what_was_counted_before_it_was_made_is_not_its_business) {
    totals_.failures[0] = 1000;
    totals_.consecutive = 900;
    make();
    EXPECT_EQ(outcome(0, 0), Wish::nothing) << "an old row alone opens nothing";
}

TEST_F(Breaker, open_ignores_outcomes_and_is_half_open_in_time) {
    make();
    trip();
    EXPECT_EQ(breaker_->state(), CircuitState::open);
    EXPECT_FALSE(breaker_->should_be_open());
    EXPECT_EQ(outcome(0, 50), Wish::nothing);
    EXPECT_EQ(outcome(50, 0), Wish::nothing);
    EXPECT_EQ(breaker_->on_timer(breaker_->next_timer() - 1ns), Wish::nothing);
    wait();
    EXPECT_EQ(breaker_->state(), CircuitState::half_open);
    EXPECT_EQ(breaker_->trials_wanted(), 1U);
    EXPECT_EQ(breaker_->next_timer(), now_ + trial_time);
}

TEST_F(Breaker, half_open_closes_when_all_trials_have_succeeded) {
    settings_.half_open_trials = 3;
    make();
    trip();
    wait();
    EXPECT_EQ(trials({.left = 3}), Wish::nothing);
    EXPECT_EQ(trials({.left = 1, .succeeded = 2}), Wish::nothing);
    EXPECT_EQ(trials({.left = 0, .succeeded = 3}), Wish::close);
    breaker_->close(now_);
    EXPECT_EQ(breaker_->state(), CircuitState::closed);
    EXPECT_EQ(breaker_->next_timer(), no_deadline);
    totals_.trials = {};
    for (int n = 0; n < 4; ++n)
        EXPECT_EQ(outcome(0, 1), Wish::nothing) << "counts from the beginning";
}

TEST_F(Breaker, half_open_opens_again_for_longer_when_one_trial_fails) {
    settings_.half_open_trials = 3;
    make();
    trip();
    const Duration first = breaker_->open_time();
    wait();
    EXPECT_EQ(trials({.left = 0, .succeeded = 2, .failed = 1}), Wish::open);
    EXPECT_EQ(breaker_->reason(), "1 of its trial connections failed");
    open();
    EXPECT_GT(breaker_->open_time(), first);
    EXPECT_GE(breaker_->open_time(), 20s);
    EXPECT_LE(breaker_->open_time(), 22s);
    EXPECT_EQ(breaker_->next_timer(), now_ + breaker_->open_time());
}

TEST_F(Breaker, a_lost_trial_frees_its_permit_and_successes_stay) {
    settings_.half_open_trials = 3;
    make();
    trip();
    wait();
    now_ += 1s;
    EXPECT_EQ(trials({.left = 1, .succeeded = 1}), Wish::nothing);  // one is out
    EXPECT_EQ(breaker_->next_timer(), now_ + trial_time) << "the full time from when it was seen";
    now_ += 2s;
    EXPECT_EQ(trials({.left = 1, .succeeded = 1}), Wish::nothing);
    EXPECT_EQ(breaker_->next_timer(), now_ - 2s + trial_time);
    wait();
    EXPECT_EQ(breaker_->state(), CircuitState::half_open);
    EXPECT_EQ(breaker_->trials_wanted(), 2U) << "one has succeeded before";
    EXPECT_EQ(trials({.left = 0, .succeeded = 2}), Wish::close);
}

TEST_F(Breaker, half_open_without_clients_stays_so_and_renews_permits) {
    make();
    trip();
    wait();
    for (int n = 0; n < 5; ++n) {
        EXPECT_EQ(trials({.left = 1}), Wish::nothing);
        wait();
        EXPECT_EQ(breaker_->state(), CircuitState::half_open);
        EXPECT_EQ(breaker_->trials_wanted(), 1U);
    }
}

TEST_F(Breaker, trials_that_come_and_go_do_not_put_off_the_deadline_for_ever) {
    settings_.half_open_trials = 2;
    make();
    trip();
    wait();
    const TimePoint begin = now_;
    // One is lost, the other is taken and given back all the time.
    while (breaker_->next_timer() > now_) {
        now_ += 1s;
        (void)trials({.left = 0});
        (void)trials({.left = 1});
        ASSERT_LE(now_ - begin, 3 * trial_time);
    }
}

TEST_F(Breaker, open_time_doubles_with_jitter_up_to_the_maximum) {
    std::vector<Duration> first;
    std::vector<Duration> longest;
    for (int run = 0; run < 2000; ++run) {
        totals_ = {};
        make();
        trip();
        Duration nominal = 10s;
        for (int n = 0; n < 9; ++n) {
            const Duration time = breaker_->open_time();
            ASSERT_LE(time, 5min);
            if (nominal < 5min / 1.1) {
                ASSERT_GE(time, nominal);
                ASSERT_LE(time, nominal + nominal / 10);
            } else {
                ASSERT_GE(time + 1us, std::chrono::duration_cast<Duration>(5min / 1.1));
                longest.push_back(5min - time);
            }
            if (n == 0) first.push_back(time - 10s);
            wait();
            ASSERT_EQ(trials({.left = 0, .failed = 1}), Wish::open);
            open();
            nominal = std::min<Duration>(nominal * 2, 5min);
        }
    }
    EXPECT_LT(testing::chi_square(first, 1s, 20), testing::chi_square_limit_20);
    const auto width = std::chrono::duration_cast<Duration>(5min - 5min / 1.1);
    EXPECT_LT(testing::chi_square(longest, width, 20), testing::chi_square_limit_20);
}

TEST_F(Breaker, each_open_time_spent_closed_takes_one_opening_off_the_row) {
    make();
    trip();
    for (int n = 0; n < 2; ++n) {
        wait();
        EXPECT_EQ(trials({.left = 0, .failed = 1}), Wish::open);
        open();
    }
    EXPECT_EQ(breaker_->row(now_), 3U);  // 10, 20, 40 s
    wait();
    EXPECT_EQ(trials({.left = 0, .succeeded = 1}), Wish::close);
    breaker_->close(now_);
    totals_.trials = {};
    EXPECT_EQ(breaker_->row(now_ + 40s - 1ns), 3U);
    EXPECT_EQ(breaker_->row(now_ + 40s), 2U);
    EXPECT_EQ(breaker_->row(now_ + 60s - 1ns), 2U);
    EXPECT_EQ(breaker_->row(now_ + 60s), 1U);
    now_ += 60s;
    trip();
    EXPECT_GE(breaker_->open_time(), 20s);
    EXPECT_LE(breaker_->open_time(), 22s);
    wait();
    EXPECT_EQ(trials({.left = 0, .succeeded = 1}), Wish::close);
    breaker_->close(now_);
    now_ += 1h;
    EXPECT_EQ(breaker_->row(now_), 0U);
}

TEST_F(Breaker, dry_run_tells_each_opening_once_and_turns_nothing) {
    settings_.dry_run = true;
    make();
    EXPECT_EQ(outcome(0, 4), Wish::nothing);
    EXPECT_EQ(outcome(0, 1), Wish::would_open);
    EXPECT_EQ(breaker_->state(), CircuitState::closed);
    EXPECT_EQ(breaker_->next_timer(), no_deadline);
    const Duration first = breaker_->open_time();
    const TimePoint begin = now_;
    while (now_ - begin + 100ms < first) {
        now_ += 100ms;
        ASSERT_EQ(outcome(0, 3), Wish::nothing) << "it would be open";
    }
    now_ = begin + first;
    EXPECT_EQ(outcome(0, 0), Wish::nothing);
    EXPECT_EQ(outcome(0, 1), Wish::would_open) << "the trial would have failed";
    EXPECT_GE(breaker_->open_time(), 20s);
    now_ += breaker_->open_time() + 1h;
    EXPECT_EQ(outcome(1, 0), Wish::nothing);
    EXPECT_EQ(outcome(0, 5), Wish::would_open);
    EXPECT_LE(breaker_->open_time(), 11s) << "the row has fallen back";
}

TEST_F(Breaker, K2_works_late_on_the_time_line) {
    for (const TimePoint start : testing::odd_times) {
        totals_ = {};
        now_ = start;
        make();
        trip();
        EXPECT_GE(breaker_->next_timer(), start + 10s);
        wait();
        EXPECT_EQ(trials({.left = 0, .succeeded = 1}), Wish::close);
        breaker_->close(now_);
        totals_.trials = {};
        trip();
        EXPECT_GE(breaker_->open_time(), 20s);
        EXPECT_LE(breaker_->open_time(), 22s);
    }
}

TEST_F(Breaker, K2_a_time_out_without_end_does_not_hold_a_permit_for_ever) {
    breaker_.emplace(settings_, never, totals_);
    trip();
    wait();
    EXPECT_LE(breaker_->next_timer(), now_ + 2h);
}

TEST_F(Breaker, another_threshold_counts_for_the_row_there_is) {
    make();
    ASSERT_EQ(outcome(0, 3), Wish::nothing);
    settings_.consecutive_failures = 3;
    breaker_->configure(connect_timeout);
    EXPECT_EQ(outcome(0, 0), Wish::nothing) << "what opens it is another failure";
    EXPECT_EQ(outcome(0, 1), Wish::open);
}

TEST_F(Breaker, an_open_one_stays_open_as_long_as_it_was_to_be) {
    make();
    trip();
    const TimePoint until = breaker_->next_timer();
    settings_.open_for = {1h, 2h};
    settings_.consecutive_failures = 1;
    breaker_->configure(connect_timeout);
    EXPECT_EQ(breaker_->state(), CircuitState::open);
    EXPECT_EQ(breaker_->next_timer(), until);
    wait();
    EXPECT_EQ(trials({.left = 0, .succeeded = 0, .failed = 1}), Wish::open);
    open();
    EXPECT_GE(breaker_->open_time(), 1h) << "the next time is the new one";
}

TEST_F(Breaker, another_number_of_trials_counts_while_it_is_half_open) {
    settings_.half_open_trials = 3;
    make();
    trip();
    wait();
    EXPECT_EQ(trials({.left = 1, .succeeded = 2, .failed = 0}), Wish::nothing);
    settings_.half_open_trials = 2;
    breaker_->configure(connect_timeout);
    EXPECT_EQ(trials({.left = 1, .succeeded = 2, .failed = 0}), Wish::close);
}

TEST_F(Breaker, another_window_begins_empty_and_the_same_one_goes_on) {
    settings_.consecutive_failures = 1000;
    settings_.min_samples = 20;
    settings_.failure_rate = 0.5;
    make();
    ASSERT_EQ(outcome(9, 9), Wish::nothing);
    breaker_->configure(connect_timeout);
    EXPECT_EQ(outcome(0, 2), Wish::open) << "20 samples, 11 of them failures";
    breaker_->close(now_);
    totals_.consecutive = 0;
    ASSERT_EQ(outcome(9, 9), Wish::nothing);
    settings_.window = 20s;
    breaker_->configure(connect_timeout);
    EXPECT_EQ(outcome(0, 2), Wish::nothing) << "two samples";
}

}  // namespace
}  // namespace penstock::health
