#include "balancer/round_robin.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>

#include "support.hpp"

namespace penstock::balancer {
namespace {

// A rotation from its first turn on; the picks come out as letters.
class Rotation {
public:
    explicit Rotation(const std::vector<std::uint32_t>& weights)
        : set_(testing::make_set_of_weights(weights)),
          allowed_(testing::all_of(*set_)),
          weights_(testing::whole_weights(*set_)),
          policy_(SmoothRotation(set_->ranges().front(), weights_)) {
        for (std::size_t i = 0; i < set_->size(); ++i)
            if (set_->weight(i) == 0) allowed_.reset(i);
    }
    Bitmap& allowed() { return allowed_; }
    std::string take(std::size_t turns) {
        std::string picks;
        while (turns-- > 0) {
            const auto end = static_cast<std::uint32_t>(set_->size());
            const auto i =
                policy_.pick({*set_, allowed_, 0, end, weights_, {}, testing::noon}, random_);
            picks.push_back(static_cast<char>('a' + i));
        }
        return picks;
    }

private:
    std::shared_ptr<const BackendSet> set_;
    Bitmap allowed_;
    std::vector<std::uint32_t> weights_;
    RoundRobin policy_;
    Random random_{1};
};

TEST(RoundRobin, spreads_the_turns_of_the_heavy_one) {
    EXPECT_EQ(Rotation({5, 1, 1}).take(14), "aabacaaaabacaa");
    EXPECT_EQ(Rotation({4, 2, 1}).take(7), "abacaba");
    EXPECT_EQ(Rotation({1, 5}).take(6), "bbabbb");
    EXPECT_EQ(Rotation({2, 2}).take(4), "abab");
}

TEST(RoundRobin, equal_weights_go_in_order) {
    EXPECT_EQ(Rotation({1, 1, 1}).take(7), "abcabca");
    EXPECT_EQ(Rotation({65535, 65535, 65535}).take(6), "abcabc");
}

TEST(RoundRobin, B9_weight_zero_has_no_turn) {
    EXPECT_EQ(Rotation({1, 0, 1}).take(5), "acaca");
    EXPECT_EQ(Rotation({0, 0, 3}).take(3), "ccc");
}

TEST(RoundRobin, who_sits_out_neither_earns_nor_loses_turns) {
    Rotation rotation({1, 1, 1, 1});
    EXPECT_EQ(rotation.take(2), "ab");
    rotation.allowed().reset(2);
    EXPECT_EQ(rotation.take(6), "ddabda");
    rotation.allowed().set(2);
    // c comes with the one turn that it was owed, not with those it missed; then in a fixed order.
    EXPECT_EQ(rotation.take(8), "cbdacbda");
}

TEST(RoundRobin, one_skipped_turn_costs_the_others_nothing) {
    // Whoever is skipped for one client (it failed for that client) has its turn at the next.
    Rotation rotation({1, 1, 1});
    rotation.allowed().reset(0);
    EXPECT_EQ(rotation.take(1), "b");
    rotation.allowed().set(0);
    const std::string after = rotation.take(6);
    for (const char who : {'a', 'b', 'c'})
        EXPECT_EQ(std::ranges::count(after, who), 2) << who << " in " << after;
}

TEST(RoundRobin, every_window_of_one_period_is_exact_wherever_a_worker_starts) {
    const std::vector<std::uint32_t> weights{5, 1, 1, 3};
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        Selector selector(testing::make_set_of_weights(weights), {.kind = PolicyKind::round_robin},
                          seed);
        for (int period = 0; period < 3; ++period) {
            const auto counts = testing::count_picks(selector, 10);
            EXPECT_EQ(counts, (std::vector<std::uint64_t>{5, 1, 1, 3})) << "seed " << seed;
        }
    }
}

TEST(RoundRobin, B9_no_share_drifts_away_whatever_comes_and_goes) {
    // What a backend is owed (its weight per turn that it could have had, less the sum of the
    // weights per turn that it had) stays bounded over 100,000 turns and 14,000 changes.
    const std::vector<std::uint32_t> weights{7, 1, 3, 3, 12, 1};
    Selector selector(testing::make_set_of_weights(weights), {.kind = PolicyKind::round_robin}, 3);
    Random random(17);
    std::vector<bool> up(weights.size(), true);
    std::vector<std::int64_t> owed(weights.size());
    std::int64_t worst = 0;
    for (int step = 0; step < 100'000; ++step) {
        if (step % 7 == 0) {
            const std::uint32_t i = random.below(6);
            up[i] = !up[i];
            selector.set_available(i, up[i]);
        }
        std::int64_t total = 0;
        for (std::size_t i = 0; i < up.size(); ++i) {
            if (up[i]) total += weights[i];
        }
        const auto picked = testing::pick(selector);
        ASSERT_EQ(picked.has_value(), total > 0);
        if (!picked) continue;
        for (std::size_t i = 0; i < up.size(); ++i) {
            if (up[i]) owed[i] += weights[i];
        }
        owed[*picked] -= total;
        for (const auto debt : owed) worst = std::max(worst, std::abs(debt));
    }
    EXPECT_LT(worst, 3 * (7 + 1 + 3 + 3 + 12 + 1));
}

std::uint32_t first_pick(const std::shared_ptr<const BackendSet>& set, std::uint64_t seed) {
    Selector selector(set, {.kind = PolicyKind::round_robin}, seed);
    return testing::pick(selector).value();
}

TEST(RoundRobin, who_is_full_sits_out_and_the_others_keep_their_shares) {
    const auto set = testing::make_set(
        {{.weight = 4}, {.weight = 2, .limits = {.connections = 1}}, {.weight = 1}, {.weight = 1}});
    Selector selector(set, {.kind = PolicyKind::round_robin}, 3);
    Random random(4);
    std::vector<Permit> full;
    std::vector<std::uint64_t> counts(4);
    for (int n = 0; n < 60'000; ++n) {
        if (random.below(50) == 0) {
            if (full.empty())
                full.push_back(set->backend(1).slots().try_acquire());
            else
                full.clear();
        }
        const auto i = testing::pick(selector).value();
        ASSERT_TRUE(i != 1 || full.empty());
        ++counts[i];
    }
    // What they are owed stays below a few rounds, however long it goes on.
    EXPECT_NEAR(static_cast<double>(counts[0]), 4.0 * static_cast<double>(counts[2]), 32);
    EXPECT_NEAR(static_cast<double>(counts[2]), static_cast<double>(counts[3]), 8);
    EXPECT_GT(counts[1], 0U);
}

TEST(RoundRobin, workers_start_at_different_places) {
    const auto set = testing::make_set(std::vector<testing::Member>(100));
    std::set<std::uint32_t> starts;
    for (std::uint64_t seed = 1; seed <= 16; ++seed) starts.insert(first_pick(set, seed));
    EXPECT_GE(starts.size(), 12U);

    const auto uneven = testing::make_set_of_weights({9, 1, 1, 1});
    std::set<std::vector<std::uint32_t>> sequences;
    for (std::uint64_t seed = 1; seed <= 16; ++seed) {
        Selector selector(uneven, {.kind = PolicyKind::round_robin}, seed);
        std::vector<std::uint32_t> sequence;
        for (int n = 0; n < 12; ++n) sequence.push_back(*testing::pick(selector));
        sequences.insert(sequence);
    }
    EXPECT_GE(sequences.size(), 4U);
}

TEST(RoundRobin, B9_start_is_bounded_for_a_rotation_that_hardly_repeats) {
    std::vector<std::uint32_t> weights;
    for (std::uint32_t i = 0; i < 1000; ++i) weights.push_back(65535 - i);
    Selector selector(testing::make_set_of_weights(weights), {.kind = PolicyKind::round_robin}, 1);
    EXPECT_TRUE(testing::pick(selector).has_value());
}

}  // namespace
}  // namespace penstock::balancer
