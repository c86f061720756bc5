#include "proxy/gate/memory_guard.hpp"

#include <limits>

#include <gtest/gtest.h>

namespace penstock::proxy {
namespace {

using enum MemoryPressure;

TEST(MemoryGuard, Levels) {
    MemoryGuard guard;
    guard.set_limit(10'000);
    const struct {
        std::uint64_t used;
        MemoryPressure expected;
    } rows[] = {
        {0, none},         {8'499, none},  {8'500, tight},    {9'499, tight},     {8'000, tight},
        {7'999, none},     {8'499, none},  {9'500, overload}, {9'000, overload},  {9'499, overload},
        {8'999, tight},    {9'499, tight}, {9'500, overload}, {50'000, overload}, {7'999, none},
        {9'500, overload}, {8'999, tight}, {8'000, tight},    {7'999, none},
    };
    for (const auto& row : rows) {
        EXPECT_EQ(guard.observe(row.used), row.expected) << row.used;
        EXPECT_EQ(guard.pressure(), row.expected);
    }
}

TEST(MemoryGuard, ALimitMayChange) {
    MemoryGuard guard;
    EXPECT_EQ(guard.observe(std::numeric_limits<std::uint64_t>::max()), none) << "no limit";
    guard.set_limit(10'000);
    EXPECT_EQ(guard.observe(9'600), overload);
    guard.set_limit(20'000);
    EXPECT_EQ(guard.observe(9'600), none);
    guard.set_limit(9'000);
    EXPECT_EQ(guard.observe(9'600), overload);
    guard.set_limit(0);
    EXPECT_EQ(guard.observe(9'600), none);
    guard.set_limit(std::numeric_limits<std::uint64_t>::max());
    EXPECT_EQ(guard.observe(std::uint64_t{1} << 60), none);
}

}  // namespace
}  // namespace penstock::proxy
