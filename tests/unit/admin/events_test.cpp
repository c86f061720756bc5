#include "admin/events.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace penstock::admin {
namespace {

TEST(EventRing, numbers_events_and_forgets_the_oldest) {
    EventRing ring;
    for (std::size_t i = 0; i < EventRing::capacity + 5; ++i) ring.add({.kind = "check"}, {});
    const auto all = ring.since(0);
    ASSERT_EQ(all.size(), EventRing::capacity);
    EXPECT_EQ(all.front().seq, 6U);
    EXPECT_EQ(all.back().seq, EventRing::capacity + 5);
    EXPECT_EQ(ring.last(), EventRing::capacity + 5);
    EXPECT_EQ(ring.since(ring.last() - 2).size(), 2U);
    EXPECT_TRUE(ring.since(ring.last()).empty());
    EXPECT_TRUE(ring.since(ring.last() + 100).empty());
}

TEST(EventRing, tells_subscribers_until_they_go) {
    EventRing ring;
    int first = 0;
    int second = 0;
    auto one = std::optional(ring.subscribe([&] { ++first; }));
    const auto two = ring.subscribe([&] { ++second; });
    ring.add({}, {});
    one.reset();
    ring.add({}, {});
    EXPECT_EQ(first, 1);
    EXPECT_EQ(second, 2);
}

}  // namespace
}  // namespace penstock::admin
