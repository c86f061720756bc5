// Distribution of the policies that draw by chance. Seeds are fixed; bounds are those of chi-square
// at p = 0.0001, so that a right implementation passes with any seed that is not very unlucky.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "balancer/weighted_draw.hpp"
#include "support.hpp"

namespace penstock::balancer {
namespace {

using testing::chi_square;
using testing::count_picks;
using testing::make_set_of_weights;

// Wilson and Hilferty's approximation of the quantile; z of p = 0.0001 is 3.719.
double chi_square_bound(std::size_t cells) {
    const double k = static_cast<double>(cells - 1);
    const double cube = 1 - 2 / (9 * k) + 3.719 * std::sqrt(2 / (9 * k));
    return k * cube * cube * cube;
}

std::size_t used(const std::vector<std::uint32_t>& weights) {
    return weights.size() - static_cast<std::size_t>(std::ranges::count(weights, 0U));
}

class Draws : public ::testing::TestWithParam<PolicyKind> {};

TEST_P(Draws, idle_backends_get_shares_exactly_by_weight) {
    const std::vector<std::vector<std::uint32_t>> cases{{1, 1},
                                                        {3, 1},
                                                        {5, 1, 1},
                                                        {1, 2, 3, 4},
                                                        {0, 7, 0, 1, 2},
                                                        {65535, 65535, 1000, 40000},
                                                        std::vector<std::uint32_t>(100, 1)};
    for (const auto& weights : cases) {
        Selector selector(make_set_of_weights(weights), {.kind = GetParam()}, 42);
        const auto counts = count_picks(selector, 200'000);
        for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_EQ(counts[i] == 0, weights[i] == 0);
        EXPECT_LT(chi_square(counts, weights), chi_square_bound(used(weights)))
            << ::testing::PrintToString(weights);
    }
}

TEST_P(Draws, the_share_of_the_missing_goes_to_the_rest_by_weight) {
    std::vector<std::uint32_t> weights;
    for (std::uint32_t i = 0; i < 150; ++i) weights.push_back(1 + i % 5);
    // From all to a handful.
    for (const std::uint32_t keep_one_of : {1U, 2U, 10U, 40U}) {
        Selector selector(make_set_of_weights(weights), {.kind = GetParam()}, 7);
        auto expected = weights;
        for (std::uint32_t i = 0; i < weights.size(); ++i) {
            if (keep_one_of != 1 && i % keep_one_of != 3 % keep_one_of) {
                selector.set_available(i, false);
                expected[i] = 0;
            }
        }
        const auto counts = count_picks(selector, 200'000);
        for (std::size_t i = 0; i < weights.size(); ++i)
            ASSERT_EQ(counts[i] == 0, expected[i] == 0);
        EXPECT_LT(chi_square(counts, expected), chi_square_bound(used(expected))) << keep_one_of;
    }
}

TEST_P(Draws, tried_backends_give_their_share_to_the_rest) {
    const std::vector<std::uint32_t> weights{4, 3, 2, 1};
    Bitmap tried(4);
    tried.set(0);
    Selector selector(make_set_of_weights(weights), {.kind = GetParam()}, 11);
    const auto counts = count_picks(selector, 100'000, tried);
    EXPECT_EQ(counts[0], 0U);
    EXPECT_LT(chi_square(counts, {0, 3, 2, 1}), chi_square_bound(3));

    // Nearly all of the weight is tried: rejection gives up and the walk decides.
    Selector heavy(make_set_of_weights({60000, 3, 2, 1}), {.kind = GetParam()}, 11);
    const auto light = count_picks(heavy, 100'000, tried);
    EXPECT_EQ(light[0], 0U);
    EXPECT_LT(chi_square(light, {0, 3, 2, 1}), chi_square_bound(3));
}

INSTANTIATE_TEST_SUITE_P(, Draws,
                         ::testing::Values(PolicyKind::p2c, PolicyKind::random,
                                           PolicyKind::least_latency),
                         [](const auto& policy) { return testing::name_of(policy.param); });

TEST(WeightedDraw, second_candidate_is_another_one_in_proportion_to_weight) {
    const std::vector<std::uint32_t> weights{1000, 1, 2, 3};
    const auto set = make_set_of_weights(weights);
    WeightedDraw draw(set->ranges().front());
    const auto scaled = testing::whole_weights(*set);
    const Bitmap allowed = testing::all_of(*set);
    draw.prepare(allowed, scaled);
    Random random(5);
    std::vector<std::uint64_t> counts(4);
    for (int n = 0; n < 100'000; ++n)
        ++counts[draw.draw({*set, allowed, 0, 4, scaled, {}, testing::noon}, random, 0)];
    EXPECT_EQ(counts[0], 0U);
    EXPECT_LT(chi_square(counts, {0, 1, 2, 3}), chi_square_bound(3));
}

}  // namespace
}  // namespace penstock::balancer
