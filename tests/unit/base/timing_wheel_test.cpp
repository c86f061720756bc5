#include "base/timing_wheel.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.hpp"

namespace penstock {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Recorder final : public Timer {
public:
    explicit Recorder(std::vector<int>& fired, int id = 0) : fired_(fired), id_(id) {}
    void on_timer(TimePoint now) override {
        fired_.push_back(id_);
        fired_at = now;
    }
    TimePoint fired_at{};

private:
    std::vector<int>& fired_;
    int id_;
};

class TimingWheelTest : public testing::Test {
protected:
    ManualClock clock;
    TimingWheel wheel{clock.now()};
    std::vector<int> fired;

    void run_until(TimePoint end) {
        while (wheel.next_wake_up() <= end) {
            clock.set(std::max(clock.now(), wheel.next_wake_up()));
            wheel.advance(clock.now());
        }
        clock.set(end);
        wheel.advance(end);
    }
};

TEST_F(TimingWheelTest, an_empty_wheel_never_wakes_up) {
    EXPECT_EQ(wheel.next_wake_up(), no_deadline);
    clock.advance(hours(100));
    EXPECT_EQ(wheel.advance(clock.now()), 0U);
    EXPECT_EQ(wheel.next_wake_up(), no_deadline);
}

TEST_F(TimingWheelTest, fires_never_early_and_at_most_a_tick_late) {
    for (const Duration after :
         {Duration(1), Duration(milliseconds(8)), Duration(milliseconds(9)), Duration(seconds(1)),
          Duration(seconds(33)), Duration(hours(1)), Duration(hours(24 * 40))}) {
        Recorder timer(fired);
        const TimePoint due = clock.now() + after;
        wheel.file(timer, due);
        run_until(due - Duration(1));
        EXPECT_TRUE(timer.filed()) << after.count();
        run_until(due + TimingWheel::resolution);
        EXPECT_FALSE(timer.filed()) << after.count();
        EXPECT_GE(timer.fired_at, due);
    }
}

TEST_F(TimingWheelTest, a_deadline_in_the_past_fires_at_the_next_advance) {
    Recorder timer(fired);
    wheel.file(timer, clock.now() - seconds(1));
    EXPECT_LE(wheel.next_wake_up(), clock.now());
    wheel.advance(clock.now());
    EXPECT_EQ(fired.size(), 1U);
}

TEST_F(TimingWheelTest, refiling_moves_and_no_deadline_cancels) {
    Recorder timer(fired);
    wheel.file(timer, clock.now() + seconds(1));
    wheel.file(timer, clock.now() + hours(1));
    run_until(clock.now() + seconds(2));
    EXPECT_TRUE(fired.empty());
    wheel.file(timer, no_deadline);
    EXPECT_FALSE(timer.filed());
    EXPECT_EQ(wheel.next_wake_up(), no_deadline);
}

TEST_F(TimingWheelTest, an_idle_hour_costs_a_handful_of_wake_ups) {
    Recorder timer(fired);
    const TimePoint due = clock.now() + hours(1);
    wheel.file(timer, due);
    int wake_ups = 0;
    while (fired.empty()) {
        clock.set(std::max(clock.now(), wheel.next_wake_up()));
        wheel.advance(clock.now());
        ++wake_ups;
    }
    EXPECT_LE(wake_ups, 5);
    EXPECT_GE(clock.now(), due);
}

TEST_F(TimingWheelTest, fires_at_most_the_limit_and_says_that_more_are_due) {
    std::vector<std::unique_ptr<Recorder>> timers;
    for (int i = 0; i < 1000; ++i) {
        timers.push_back(std::make_unique<Recorder>(fired, i));
        wheel.file(*timers.back(), clock.now() + seconds(1));
    }
    clock.advance(seconds(2));
    EXPECT_EQ(wheel.advance(clock.now(), 256), 256U);
    EXPECT_LE(wheel.next_wake_up(), clock.now());
    EXPECT_EQ(wheel.advance(clock.now(), 10000), 744U);
    EXPECT_EQ(wheel.size(), 0U);
}

TEST_F(TimingWheelTest, a_timer_may_cancel_and_destroy_another_one_that_is_due) {
    struct Killer final : Timer {
        TimingWheel* wheel = nullptr;
        std::unique_ptr<Recorder> victim;
        void on_timer(TimePoint) override {
            wheel->cancel(*victim);
            victim.reset();
        }
    };
    Killer killer;
    killer.wheel = &wheel;
    killer.victim = std::make_unique<Recorder>(fired);
    wheel.file(killer, clock.now() + seconds(1));
    wheel.file(*killer.victim, clock.now() + seconds(1));
    run_until(clock.now() + seconds(2));
    EXPECT_TRUE(fired.empty());
}

// Against a sorted map, with thousands of random operations.
TEST_F(TimingWheelTest, agrees_with_a_naive_model) {
    Random random(42);
    std::vector<std::unique_ptr<Recorder>> timers;
    std::map<int, TimePoint> due;
    for (int i = 0; i < 200; ++i) timers.push_back(std::make_unique<Recorder>(fired, i));
    for (int step = 0; step < 20000; ++step) {
        const int id = static_cast<int>(random.below(200));
        const auto choice = random.below(10);
        if (choice < 6) {
            const Duration after = milliseconds(random.below(1U << (1 + random.below(24))));
            wheel.file(*timers[static_cast<std::size_t>(id)], clock.now() + after);
            due[id] = clock.now() + after;
        } else if (choice < 7) {
            wheel.cancel(*timers[static_cast<std::size_t>(id)]);
            due.erase(id);
        } else {
            clock.advance(milliseconds(random.below(1U << (1 + random.below(14)))));
            fired.clear();
            wheel.advance(clock.now(), 1000);
            for (const int fired_id : fired) {
                ASSERT_TRUE(due.contains(fired_id));
                ASSERT_LE(due[fired_id], clock.now());
                due.erase(fired_id);
            }
            for (const auto& [left, at] : due)
                ASSERT_GT(at + TimingWheel::resolution, clock.now()) << left;
        }
        ASSERT_EQ(wheel.size(), due.size());
    }
    for (auto& timer : timers) wheel.cancel(*timer);
}

}  // namespace
}  // namespace penstock
