#include "base/log_throttle.hpp"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(LogThrottle, L7_one_message_per_interval_and_the_number_of_the_others) {
    ManualClock clock;
    LogThrottle throttle(std::chrono::seconds(5));
    EXPECT_EQ(throttle.admit(clock.now()), 0U);
    for (int i = 0; i < 20; ++i) EXPECT_FALSE(throttle.admit(clock.now()));
    clock.advance(std::chrono::seconds(5));
    EXPECT_EQ(throttle.admit(clock.now()), 20U);
    clock.advance(std::chrono::seconds(5));
    EXPECT_EQ(throttle.admit(clock.now()), 0U);
}

}  // namespace
}  // namespace penstock
