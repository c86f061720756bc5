#include "base/random.hpp"

#include <array>

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Random, the_same_seed_gives_the_same_numbers) {
    Random a(7);
    Random b(7);
    Random c(8);
    bool differs = false;
    for (int i = 0; i < 100; ++i) {
        const auto x = a.next();
        EXPECT_EQ(x, b.next());
        differs |= x != c.next();
    }
    EXPECT_TRUE(differs);
}

TEST(Random, below_and_unit_stay_in_range_and_cover_it) {
    Random random(1);
    std::array<int, 10> seen{};
    for (int i = 0; i < 10000; ++i) {
        ++seen.at(random.below(10));
        const double u = random.unit();
        ASSERT_GE(u, 0.0);
        ASSERT_LT(u, 1.0);
    }
    for (const int n : seen) EXPECT_NEAR(n, 1000, 150);
}

}  // namespace
}  // namespace penstock
