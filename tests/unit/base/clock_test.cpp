#include "base/clock.hpp"

#include <gtest/gtest.h>

namespace penstock {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Clock, deadline_after_adds) {
    ManualClock clock;
    EXPECT_EQ(deadline_after(clock.now(), seconds(3)) - clock.now(), seconds(3));
}

TEST(Clock, never_and_the_end_of_the_time_line_are_no_deadline) {
    const ManualClock clock;
    EXPECT_EQ(deadline_after(clock.now(), never), no_deadline);
    EXPECT_EQ(deadline_after(clock.now(), no_deadline - clock.now()), no_deadline);
    EXPECT_EQ(deadline_after(no_deadline, seconds(1)), no_deadline);
    EXPECT_LT(deadline_after(clock.now(), no_deadline - clock.now() - Duration(1)), no_deadline);
}

TEST(Clock, manual_clock_stands_still_until_it_is_moved) {
    ManualClock clock;
    const auto before = clock.now();
    EXPECT_EQ(clock.now(), before);
    clock.advance(milliseconds(250));
    EXPECT_EQ(clock.now() - before, milliseconds(250));
}

TEST(Clock, steady_clock_does_not_go_back) {
    const SteadyClock clock;
    auto last = clock.now();
    for (int i = 0; i < 1000; ++i) {
        const auto now = clock.now();
        ASSERT_GE(now, last);
        last = now;
    }
}

}  // namespace
}  // namespace penstock
