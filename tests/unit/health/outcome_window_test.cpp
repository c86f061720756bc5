#include "health/circuit/outcome_window.hpp"

#include <gtest/gtest.h>

#include <deque>

#include "base/random.hpp"
#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using Sums = OutcomeWindow::Sums;
using testing::noon;

TEST(OutcomeWindow, sums_up_and_forgets_by_tenths) {
    OutcomeWindow window(10s);
    window.add({1, 2}, noon);
    window.add({10, 0}, noon + 500ms);
    window.add({0, 3}, noon + 9s);
    EXPECT_EQ(window.sums(noon + 9999ms), (Sums{11, 5}));
    EXPECT_EQ(window.sums(noon + 10s), (Sums{0, 3}));
    EXPECT_EQ(window.sums(noon + 18999ms), (Sums{0, 3}));
    EXPECT_EQ(window.sums(noon + 19s), Sums{});
}

TEST(OutcomeWindow, nothing_is_left_after_a_long_silence_or_clear) {
    OutcomeWindow window(10s);
    window.add({5, 5}, noon);
    EXPECT_EQ(window.sums(noon + 1000h), Sums{});
    window.add({5, 5}, noon + 1000h);
    window.clear();
    EXPECT_EQ(window.sums(noon + 1000h), Sums{});
}

// Against a list of all entries.
void compare_with_a_list(TimePoint now, Duration length, std::uint64_t seed) {
    OutcomeWindow window(length);
    std::deque<std::pair<TimePoint, Sums>> list;
    Random random(seed);
    const Duration tenth = length / 10;
    for (int n = 0; n < 3000; ++n) {
        now += Duration(static_cast<Duration::rep>(random.unit() * random.unit() *
                                                   static_cast<double>(length.count())));
        const Sums more{random.below(5), random.below(5)};
        window.add(more, now);
        list.emplace_back(now, more);
        Sums expected;
        const auto turn = [&](TimePoint at) { return at.time_since_epoch() / tenth; };
        while (turn(list.front().first) + 10 <= turn(now)) list.pop_front();
        for (const auto& [at, sums] : list) {
            expected.successes += sums.successes;
            expected.failures += sums.failures;
        }
        ASSERT_EQ(window.sums(now), expected) << n;
    }
}

TEST(OutcomeWindow, agrees_with_a_list_of_all_outcomes) {
    compare_with_a_list(noon, 10s, 1);
    compare_with_a_list(noon, 100ms, 2);
    compare_with_a_list(noon, 1h, 3);
}

TEST(OutcomeWindow, K2_agrees_late_on_the_time_line) {
    for (const TimePoint start : testing::odd_times) compare_with_a_list(start, 10s, 4);
}

}  // namespace
}  // namespace penstock::health
