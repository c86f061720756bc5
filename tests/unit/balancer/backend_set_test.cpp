#include "balancer/backend_set.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support.hpp"

namespace penstock::balancer {
namespace {

TEST(BackendSet, sorts_by_tier_and_keeps_the_order_within_one) {
    const auto set = testing::make_set({{.weight = 1, .tier = 2},
                                        {.weight = 2, .tier = 0},
                                        {.weight = 3, .tier = 2},
                                        {.weight = 4, .tier = 0, .ready = false},
                                        {.weight = 0, .tier = 7}});
    std::vector<std::string> names;
    for (std::size_t i = 0; i < set->size(); ++i) names.push_back(set->backend(i).name());
    EXPECT_EQ(names, (std::vector<std::string>{"b1", "b3", "b0", "b2", "b4"}));

    ASSERT_EQ(set->tiers().size(), 3U);
    EXPECT_EQ(set->tiers()[0].number, 0U);
    EXPECT_EQ(set->tiers()[1].number, 2U);
    EXPECT_EQ(set->tiers()[2].number, 7U);
    EXPECT_EQ(set->tiers()[1].begin, 2U);
    EXPECT_EQ(set->tiers()[1].end, 4U);
    EXPECT_EQ(set->tiers()[2].end, 5U);

    EXPECT_EQ(set->weight(1), 4U);
    EXPECT_EQ(set->usable_weight(1), 0U);
    EXPECT_EQ(set->usable_weight(0), 2U);
    EXPECT_EQ(&set->backend(3), set->share(3).get());
}

TEST(BackendSet, empty_has_no_tier) {
    const BackendSet set({});
    EXPECT_EQ(set.size(), 0U);
    EXPECT_TRUE(set.tiers().empty());
}

}  // namespace
}  // namespace penstock::balancer
