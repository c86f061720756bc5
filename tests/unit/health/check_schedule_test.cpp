#include "health/check/check_schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using Pace = CheckSchedule::Pace;
using testing::noon;

class Schedule : public ::testing::Test {
protected:
    // One check that starts when it is due and takes `length`; how long after its start the next
    // one is due.
    Duration step(CheckSchedule& schedule, Pace pace, Duration length = 1ms) {
        const TimePoint start = schedule.next();
        schedule.on_started(start);
        EXPECT_EQ(schedule.next(), no_deadline) << "never two at a time";
        schedule.on_ended(pace, start + length, random_);
        EXPECT_GE(schedule.next(), start + length);
        return schedule.next() - start;
    }

    config::HealthCheck settings_{};
    Random random_{11};
};

TEST_F(Schedule, intervals_by_pace_count_from_start_to_start_with_jitter) {
    CheckSchedule schedule(settings_);
    schedule.start(noon, 2s, random_);
    step(schedule, Pace::steady);
    for (int n = 0; n < 2000; ++n) {
        const Duration steady = step(schedule, Pace::steady, 900ms);
        EXPECT_GE(steady, 1800ms);
        EXPECT_LE(steady, 2200ms);
    }
    for (int n = 0; n < 2000; ++n) {
        const Duration fast = step(schedule, Pace::transitional, 100ms);
        EXPECT_GE(fast, 450ms);
        EXPECT_LE(fast, 550ms);
    }
}

TEST_F(Schedule, jitter_is_uniform) {
    CheckSchedule schedule(settings_);
    schedule.start(noon, 0s, random_);
    step(schedule, Pace::steady);
    std::vector<Duration> offsets;
    for (int n = 0; n < 5000; ++n) offsets.push_back(step(schedule, Pace::steady) - 1800ms);
    EXPECT_LT(testing::chi_square(offsets, 400ms, 20), testing::chi_square_limit_20);
}

TEST_F(Schedule, without_jitter_the_interval_is_exact) {
    settings_.jitter = 0;
    CheckSchedule schedule(settings_);
    schedule.start(noon, 0s, random_);
    step(schedule, Pace::steady);
    EXPECT_EQ(step(schedule, Pace::steady), 2s);
    EXPECT_EQ(step(schedule, Pace::transitional), 500ms);
}

TEST_F(Schedule, a_check_that_outlasts_its_interval_is_followed_at_once) {
    settings_.jitter = 0;
    CheckSchedule schedule(settings_);
    schedule.start(noon, 0s, random_);
    step(schedule, Pace::steady);
    EXPECT_EQ(step(schedule, Pace::transitional, 800ms), 800ms);
}

TEST_F(Schedule, a_steady_row_begins_with_a_random_part_of_the_interval) {
    std::vector<Duration> first;
    for (int n = 0; n < 4000; ++n) {
        CheckSchedule schedule(settings_);
        schedule.start(noon, 0s, random_);
        first.push_back(step(schedule, Pace::steady, 0ms));
        step(schedule, Pace::steady);
        step(schedule, Pace::down);
        step(schedule, Pace::transitional);
        first.push_back(step(schedule, Pace::steady, 0ms));
    }
    EXPECT_LT(testing::chi_square(first, 2s, 20), testing::chi_square_limit_20);
}

TEST_F(Schedule, pauses_while_down_grow_to_the_maximum_with_full_jitter) {
    std::vector<Duration> at_the_limit;
    for (int run = 0; run < 500; ++run) {
        CheckSchedule schedule(settings_);
        schedule.start(noon, 0s, random_);
        Duration limit = 1s;
        for (int n = 0; n < 12; ++n, limit = std::min<Duration>(limit * 2, 30s)) {
            EXPECT_EQ(schedule.down_limit(), limit);
            const Duration pause = step(schedule, Pace::down, 0ms);
            EXPECT_GE(pause, 0s);
            EXPECT_LE(pause, limit);
            if (limit == 30s) at_the_limit.push_back(pause);
        }
    }
    EXPECT_LT(testing::chi_square(at_the_limit, 30s, 20), testing::chi_square_limit_20);
}

TEST_F(Schedule, one_good_check_ends_the_row_of_pauses) {
    CheckSchedule schedule(settings_);
    schedule.start(noon, 0s, random_);
    for (int n = 0; n < 8; ++n) step(schedule, Pace::down);
    const Duration fast = step(schedule, Pace::transitional);
    EXPECT_LE(fast, 550ms);
    EXPECT_EQ(schedule.down_limit(), 1s);
}

TEST_F(Schedule, stopped_it_has_no_next_check) {
    CheckSchedule schedule(settings_);
    EXPECT_EQ(schedule.next(), no_deadline) << "not before start()";
    schedule.start(noon, 1s, random_);
    schedule.stop();
    EXPECT_EQ(schedule.next(), no_deadline);
    schedule.start(noon, 0s, random_);
    schedule.on_started(noon);
    schedule.stop();
    EXPECT_FALSE(schedule.running());
}

TEST_F(Schedule, R10_checks_missed_in_a_stall_are_spread) {
    std::vector<Duration> spread;
    for (int n = 0; n < 2000; ++n) {
        CheckSchedule schedule(settings_);
        schedule.start(noon, 2s, random_);
        schedule.on_stall(10s, noon + 10s, random_);
        ASSERT_GE(schedule.next(), noon + 10s);
        spread.push_back(schedule.next() - (noon + 10s));
    }
    EXPECT_LT(testing::chi_square(spread, 2s, 20), testing::chi_square_limit_20);
}

TEST_F(Schedule, R10_a_short_stall_delays_by_no_more_than_itself_and_only_what_was_missed) {
    CheckSchedule missed(settings_);
    missed.start(noon, 0s, random_);
    missed.on_stall(200ms, noon + 200ms, random_);
    EXPECT_LE(missed.next(), noon + 400ms);
    CheckSchedule later(settings_);
    later.start(noon + 1s, 0s, random_);
    later.on_stall(200ms, noon + 200ms, random_);
    EXPECT_EQ(later.next(), noon + 1s);
}

TEST_F(Schedule, R10_the_time_of_a_stall_does_not_count_for_a_check_that_runs) {
    settings_.jitter = 0;
    CheckSchedule schedule(settings_);
    schedule.start(noon, 0s, random_);
    schedule.on_started(noon);
    schedule.on_stall(10s, noon + 10s, random_);
    EXPECT_EQ(schedule.next(), no_deadline);
    schedule.on_ended(Pace::transitional, noon + 10s, random_);
    EXPECT_EQ(schedule.next(), noon + 10s + 500ms);
}

TEST_F(Schedule, K2_works_late_on_the_time_line) {
    settings_.jitter = 0;
    for (const TimePoint start : testing::odd_times) {
        CheckSchedule schedule(settings_);
        schedule.start(start, 0s, random_);
        EXPECT_EQ(schedule.next(), start);
        step(schedule, Pace::steady);
        EXPECT_EQ(step(schedule, Pace::steady), 2s);
    }
}

TEST_F(Schedule, a_shorter_interval_counts_for_the_check_that_is_waited_for) {
    settings_.interval = 1h;
    CheckSchedule schedule(settings_);
    schedule.start(noon, 1s, random_);
    step(schedule, Pace::steady);
    step(schedule, Pace::steady);
    const TimePoint now = schedule.next() - 30min;
    settings_.interval = 2s;
    schedule.configure(now, random_);
    EXPECT_GE(schedule.next(), now);
    EXPECT_LE(schedule.next(), now + 2s);
    step(schedule, Pace::steady);
    EXPECT_LE(step(schedule, Pace::steady), 2200ms);
}

TEST_F(Schedule, a_longer_interval_delays_nothing_that_was_due) {
    CheckSchedule schedule(settings_);
    schedule.start(noon, 1s, random_);
    step(schedule, Pace::steady);
    const TimePoint due = schedule.next();
    settings_.interval = 1h;
    schedule.configure(due - 1ms, random_);
    EXPECT_LE(schedule.next(), due);
    step(schedule, Pace::steady);
    EXPECT_GT(step(schedule, Pace::steady), 50min);
}

TEST_F(Schedule, settings_change_neither_a_check_that_runs_nor_one_that_is_stopped) {
    CheckSchedule schedule(settings_);
    schedule.configure(noon, random_);
    EXPECT_EQ(schedule.next(), no_deadline) << "not started";
    schedule.start(noon, 1s, random_);
    schedule.on_started(schedule.next());
    schedule.configure(noon + 1s, random_);
    EXPECT_EQ(schedule.next(), no_deadline) << "never two at a time";
    EXPECT_TRUE(schedule.running());
    schedule.on_ended(Pace::steady, noon + 2s, random_);
    schedule.stop();
    schedule.configure(noon + 3s, random_);
    EXPECT_EQ(schedule.next(), no_deadline);
}

// Backends must not be checked in step because all were configured at once.
TEST_F(Schedule, checks_that_were_far_away_are_spread_when_the_interval_shrinks) {
    std::vector<Duration> delays;
    for (int i = 0; i < 2000; ++i) {
        settings_.interval = 10h;
        CheckSchedule schedule(settings_);
        schedule.start(noon, 1s, random_);
        schedule.on_started(noon);
        schedule.on_ended(Pace::steady, noon, random_);
        settings_.interval = 1s;
        schedule.configure(noon, random_);
        delays.push_back(schedule.next() - noon);
    }
    EXPECT_LT(testing::chi_square(delays, 1s, 20), testing::chi_square_limit_20);
}

}  // namespace
}  // namespace penstock::health
