#include "balancer/split.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "support.hpp"

namespace penstock::balancer {
namespace {

constexpr std::uint32_t clients = 100'000;

std::vector<std::size_t> places(const std::vector<Split::Part>& parts) {
    Random random(3);
    const Split split(parts, random);
    Random hashes(99);
    std::vector<std::size_t> places;
    for (std::uint32_t n = 0; n < clients; ++n) places.push_back(split.of_source(hashes.next()));
    return places;
}

TEST(Split, turns_are_exact_over_each_round_wherever_they_begin) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        Random random(seed);
        Split split({{"v1", 95}, {"off", 0}, {"v2", 5}}, random);
        for (int round = 0; round < 10; ++round) {
            std::vector<int> counts(3);
            for (int n = 0; n < 20; ++n) ++counts[split.next()];
            EXPECT_EQ(counts, (std::vector<int>{19, 0, 1})) << seed << ' ' << round;
        }
    }
}

TEST(Split, workers_begin_at_different_turns) {
    std::set<int> first_of_small;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        Random random(seed);
        Split split({{"v1", 95}, {"v2", 5}}, random);
        int n = 0;
        while (split.next() != 1) ++n;
        first_of_small.insert(n);
    }
    EXPECT_GE(first_of_small.size(), 10U);
}

TEST(Split, sources_come_by_weight) {
    const std::vector<std::uint32_t> weights{95, 0, 5, 20, 1};
    std::vector<Split::Part> parts;
    for (const auto weight : weights)
        parts.push_back({std::string("part").append(std::to_string(parts.size())), weight});
    std::vector<std::uint64_t> counts(parts.size());
    for (const auto place : places(parts)) ++counts[place];
    EXPECT_EQ(counts[1], 0U);
    EXPECT_LT(testing::chi_square(counts, weights), 21.1);  // p = 0.0001, 4 cells
}

TEST(Split, a_source_keeps_its_part_in_any_order_of_the_list_and_on_every_worker) {
    const auto one = places({{"a", 3}, {"b", 2}, {"c", 5}});
    const auto other = places({{"c", 5}, {"a", 3}, {"b", 2}});
    for (std::uint32_t n = 0; n < clients; ++n) ASSERT_EQ((one[n] + 1) % 3, other[n]);
}

TEST(Split, another_weight_moves_only_what_it_must) {
    const auto before = places({{"a", 50}, {"b", 40}, {"c", 10}});
    const auto more = places({{"a", 50}, {"b", 40}, {"c", 20}});
    std::uint32_t moved = 0;
    for (std::uint32_t n = 0; n < clients; ++n) {
        if (before[n] == more[n]) continue;
        ++moved;
        ASSERT_EQ(more[n], 2U) << "whoever moves comes to the part that grew";
    }
    // c grows from 10 / 100 to 20 / 110.
    EXPECT_NEAR(moved, clients * (20 / 110.0 - 0.1), clients * 0.005);
    const auto scaled = places({{"a", 5}, {"b", 4}, {"c", 1}});
    EXPECT_EQ(before, scaled) << "only the proportions count";
}

TEST(Split, decisions_are_the_same_in_every_build) {
    Random random(1);
    const Split split({{"blue", 1}, {"green", 1}, {"red", 2}}, random);
    std::string decisions;
    for (std::uint64_t source = 0; source < 24; ++source)
        decisions.push_back("bgr"[split.of_source(source * 0x9e3779b97f4a7c15)]);
    EXPECT_EQ(decisions, "rrrrbrbrgbgggbbrbggrgrrr");
}

}  // namespace
}  // namespace penstock::balancer
