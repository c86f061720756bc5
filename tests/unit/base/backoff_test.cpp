#include "base/backoff.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace penstock {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, limits_double_up_to_the_maximum) {
    Random random(1);
    Backoff backoff(1s, 30s);
    for (const Duration limit : {1s, 2s, 4s, 8s, 16s, 30s, 30s, 30s}) {
        EXPECT_EQ(backoff.limit(), limit);
        const Duration pause = backoff.next(random);
        EXPECT_GE(pause, 0s);
        EXPECT_LT(pause, limit);
    }
    EXPECT_EQ(backoff.count(), 8U);
    backoff.reset();
    EXPECT_EQ(backoff.count(), 0U);
    EXPECT_EQ(backoff.limit(), 1s);
}

TEST(Backoff, pauses_are_uniform_below_the_limit) {
    Random random(2);
    std::array<int, 10> counts{};
    constexpr int pauses = 20'000;
    for (int n = 0; n < pauses; ++n) {
        Backoff backoff(1s, 30s);
        (void)backoff.next(random);
        (void)backoff.next(random);  // the third is below 4 s
        ++counts.at(static_cast<std::size_t>(backoff.next(random) / 400ms));
    }
    double chi_square = 0;
    for (const int n : counts) {
        const double off = n - pauses / 10.0;
        chi_square += off * off / (pauses / 10.0);
    }
    EXPECT_LT(chi_square, 33.7) << "9 degrees of freedom, one in 10,000";
}

TEST(Backoff, odd_limits) {
    Random random(3);
    Backoff above(10s, 5s);
    EXPECT_EQ(above.limit(), 5s) << "a base above max is taken as max";
    Backoff none(0s, 0s);
    EXPECT_EQ(none.next(random), 0s);
    EXPECT_EQ(none.limit(), 0s);
    Backoff no_base(0s, 10s);
    for (int n = 0; n < 5; ++n) EXPECT_EQ(no_base.next(random), 0s);
}

TEST(Backoff, K2_does_not_overflow) {
    Random random(4);
    Backoff endless(1h, never);
    Duration last{};
    for (int n = 0; n < 200; ++n) {
        EXPECT_GE(endless.limit(), last);
        last = endless.limit();
        const Duration pause = endless.next(random);
        EXPECT_GE(pause, 0s);
        EXPECT_LE(pause, last);
    }
    EXPECT_EQ(last, never);
}

}  // namespace
}  // namespace penstock
