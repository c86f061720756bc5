#include "balancer/p2c.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support.hpp"

namespace penstock::balancer {
namespace {

TEST(P2c, of_two_the_less_loaded_for_its_weight_wins) {
    struct Case {
        std::uint32_t weights[2];
        std::uint32_t active[2];
        int always;  // -1: either
    };
    // Compared by (active + 1) / weight.
    const Case cases[] = {{{1, 1}, {1, 0}, 1},          {{1, 1}, {0, 1}, 0}, {{1, 1}, {9, 8}, 1},
                          {{3, 1}, {1, 0}, 0},          {{3, 1}, {3, 0}, 1}, {{3, 1}, {2, 0}, -1},
                          {{3, 1}, {6, 2}, -1},         {{3, 1}, {7, 2}, 0}, {{3, 1}, {9, 2}, 1},
                          {{65535, 1}, {65534, 0}, -1}, {{1, 1}, {5, 5}, -1}};
    for (const auto& c : cases) {
        const auto set = testing::make_set_of_weights({c.weights[0], c.weights[1]});
        for (std::size_t i = 0; i < 2; ++i)
            for (std::uint32_t n = 0; n < c.active[i]; ++n) set->backend(i).session_started();
        Selector selector(set, {.kind = PolicyKind::p2c}, 3);
        const auto counts = testing::count_picks(selector, 500'000);
        const auto text = ::testing::PrintToString(c.weights) + ::testing::PrintToString(c.active);
        if (c.always >= 0) {
            EXPECT_EQ(counts[static_cast<std::size_t>(c.always)], 500'000U) << text;
        } else {
            EXPECT_TRUE(counts[0] > 0 && counts[1] > 0) << text;
        }
    }
}

std::uint32_t highest_load(PolicyKind kind, std::uint32_t backends, std::uint32_t sessions) {
    const auto set = testing::make_set(std::vector<testing::Member>(backends));
    Selector selector(set, {.kind = kind}, 2024);
    for (std::uint32_t n = 0; n < sessions; ++n)
        set->backend(*testing::pick(selector)).session_started();
    std::uint32_t highest = 0;
    for (std::size_t i = 0; i < backends; ++i)
        highest = std::max(highest, set->backend(i).active());
    return highest;
}

TEST(P2c, highest_load_stays_within_log_log_of_the_mean) {
    for (const std::uint32_t n : {100U, 1000U}) {
        // ln ln n / ln 2 above the mean, plus a constant (Azar et al., 1994).
        const double above = std::log(std::log(n)) / std::log(2.0) + 2;
        for (const std::uint32_t mean : {1U, 10U, 100U}) {
            const std::uint32_t highest = highest_load(PolicyKind::p2c, n, n * mean);
            EXPECT_LE(highest, mean + above) << n << " backends, mean " << mean;
        }
        EXPECT_GT(highest_load(PolicyKind::random, n, n * 100), 100 + 2 * above)
            << "the bound tells p2c from chance";
    }
}

TEST(P2c, sessions_settle_at_the_weights) {
    const std::vector<std::uint32_t> weights{1, 2, 4, 8, 1, 2, 4, 8};
    const auto set = testing::make_set_of_weights(weights);
    Selector selector(set, {.kind = PolicyKind::p2c}, 9);
    for (int n = 0; n < 30 * 100; ++n) set->backend(*testing::pick(selector)).session_started();
    for (std::size_t i = 0; i < set->size(); ++i)
        EXPECT_NEAR(set->backend(i).active(), weights[i] * 100, weights[i] * 5.0 + 5);
}

// The definition, with plain numbers: two different ones drawn by weight, the better one wins, the
// first where both carry the same for their weight.
std::vector<double> naive_shares(const std::vector<std::uint32_t>& weights,
                                 const std::vector<std::uint32_t>& active,
                                 const std::vector<bool>& allowed) {
    double total = 0;
    for (std::size_t i = 0; i < weights.size(); ++i)
        if (allowed[i]) total += weights[i];
    std::vector<double> shares(weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i) {
        for (std::size_t k = 0; k < weights.size(); ++k) {
            if (i == k || !allowed[i] || !allowed[k]) continue;
            const double chance = weights[i] / total * weights[k] / (total - weights[i]);
            const bool alike = active[i] * weights[k] == active[k] * weights[i];
            const bool second =
                (active[k] + 1.0) / weights[k] < (active[i] + 1.0) / weights[i] && !alike;
            shares[second ? k : i] += chance;
        }
    }
    return shares;
}

TEST(P2c, picks_as_often_as_the_naive_model_says_while_sessions_come_and_go) {
    constexpr int picks = 40'000;
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        Random random(seed);
        std::vector<std::uint32_t> weights;
        for (std::uint32_t n = 2 + random.below(6); n > 0; --n)
            weights.push_back(1 + random.below(5));
        const auto size = static_cast<std::uint32_t>(weights.size());
        const auto set = testing::make_set_of_weights(weights);
        Selector selector(set, {.kind = PolicyKind::p2c}, seed);
        std::vector<std::uint32_t> active(size);
        for (int change = 0; change < 4; ++change) {
            for (std::uint32_t i = 0; i < size; ++i) {
                const std::uint32_t next = random.below(8);
                for (; active[i] < next; ++active[i]) set->backend(i).session_started();
                for (; active[i] > next; --active[i]) set->backend(i).session_ended();
            }
            Bitmap tried(size);
            if (size > 2) tried.set(random.below(size));
            std::vector<bool> allowed(size);
            for (std::uint32_t i = 0; i < size; ++i) allowed[i] = !tried.test(i);
            const auto expected = naive_shares(weights, active, allowed);
            const auto counts = testing::count_picks(selector, picks, tried);
            for (std::uint32_t i = 0; i < size; ++i) {
                const double mean = expected[i] * picks;
                // Five standard deviations of a binomial count.
                EXPECT_NEAR(static_cast<double>(counts[i]), mean,
                            5 * std::sqrt(mean * (1 - expected[i])) + 1e-6)
                    << "seed " << seed << " backend " << i;
            }
        }
    }
}

}  // namespace
}  // namespace penstock::balancer
