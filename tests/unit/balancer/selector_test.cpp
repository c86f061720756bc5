#include "balancer/selector.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "support.hpp"

namespace penstock::balancer {
namespace {

using testing::make_set;
using testing::make_set_of_weights;

class EachPolicy : public ::testing::TestWithParam<PolicyKind> {};
INSTANTIATE_TEST_SUITE_P(, EachPolicy, ::testing::ValuesIn(testing::all_policies),
                         [](const auto& policy) { return testing::name_of(policy.param); });

TEST_P(EachPolicy, B9_empty_set_gives_nothing) {
    Selector selector(make_set({}), {.kind = GetParam()}, 1);
    EXPECT_EQ(testing::pick(selector), std::nullopt);
    EXPECT_FALSE(selector.any_available());
    EXPECT_FALSE(selector.can_pick({}));
}

TEST_P(EachPolicy, B9_all_down_gives_nothing) {
    for (const std::size_t size : {1U, 2U, 3U, 64U, 128U, 129U, 5000U}) {
        Selector selector(make_set(std::vector<testing::Member>(size)), {.kind = GetParam()}, 1);
        EXPECT_TRUE(selector.any_available());
        for (std::uint32_t i = 0; i < size; ++i) selector.set_available(i, false);
        EXPECT_EQ(testing::pick(selector), std::nullopt) << size;
        EXPECT_FALSE(selector.any_available());
        selector.set_available(static_cast<std::uint32_t>(size - 1), true);
        EXPECT_EQ(testing::pick(selector), size - 1) << size;
    }
}

TEST_P(EachPolicy, B9_weight_zero_and_not_ready_are_never_available) {
    Selector selector(make_set({{.weight = 0}, {.weight = 5, .ready = false}, {.weight = 0}}),
                      {.kind = GetParam()}, 1);
    for (std::uint32_t i = 0; i < 3; ++i) {
        selector.set_available(i, true);
        EXPECT_FALSE(selector.available(i)) << i;
    }
    EXPECT_FALSE(selector.any_available());
    EXPECT_FALSE(selector.can_pick({}));
    EXPECT_EQ(testing::pick(selector), std::nullopt);
}

TEST_P(EachPolicy, B9_all_tried_gives_nothing_though_some_are_available) {
    const auto set = make_set(std::vector<testing::Member>(130));
    Selector selector(set, {.kind = GetParam()}, 1);
    const Bitmap tried = testing::all_of(*set);
    EXPECT_EQ(testing::pick(selector, tried), std::nullopt);
    EXPECT_FALSE(selector.can_pick(tried));
    EXPECT_TRUE(selector.any_available());
}

// Random sets, weights, tiers, verdicts and tried sets, against the definition of who may be
// picked.
TEST_P(EachPolicy, B9_picks_only_from_the_lowest_tier_that_has_one_left) {
    constexpr std::uint32_t weights[] = {0, 1, 2, 17, 65535};
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        Random random(seed);
        std::vector<testing::Member> members;
        for (std::uint32_t n = random.below(seed % 10 == 0 ? 300 : 8); n > 0; --n)
            members.push_back({weights[random.below(5)], random.below(3), random.below(5) != 0});
        const auto set = make_set(members);
        const auto size = static_cast<std::uint32_t>(set->size());
        Selector selector(set, {.kind = GetParam()}, seed);
        std::vector<bool> up(size, true);
        for (int step = 0; step < 60; ++step) {
            if (size != 0) {
                const auto i = random.below(size);
                up[i] = random.below(3) != 0;
                selector.set_available(i, up[i]);
            }
            Bitmap tried = random.below(2) == 0 ? Bitmap() : Bitmap(size);
            for (std::uint32_t i = 0; i < tried.size(); ++i)
                if (random.below(3) == 0) tried.set(i);

            const auto may = [&](std::uint32_t i) {
                return up[i] && set->ready(i) && set->weight(i) > 0 &&
                       (tried.size() == 0 || !tried.test(i));
            };
            const BackendSet::Tier* lowest = nullptr;
            for (const auto& tier : set->tiers())
                for (std::uint32_t i = tier.begin; i < tier.end; ++i)
                    if (lowest == nullptr && may(i)) lowest = &tier;

            ASSERT_EQ(selector.can_pick(tried), lowest != nullptr);
            const auto picked = testing::pick(selector, tried);
            ASSERT_EQ(picked.has_value(), lowest != nullptr);
            if (!picked) continue;
            ASSERT_TRUE(may(*picked)) << "seed " << seed;
            ASSERT_GE(*picked, lowest->begin);
            ASSERT_LT(*picked, lowest->end);
            if (random.below(4) == 0) set->backend(*picked).session_started();
        }
    }
}

class EachWeightedPolicy : public ::testing::TestWithParam<PolicyKind> {};
INSTANTIATE_TEST_SUITE_P(, EachWeightedPolicy, ::testing::ValuesIn(testing::weighted_policies),
                         [](const auto& policy) { return testing::name_of(policy.param); });

TEST_P(EachWeightedPolicy, reaches_every_backend) {
    for (const std::uint32_t size : {1U, 2U, 3U, 65U, 200U}) {
        Selector selector(make_set(std::vector<testing::Member>(size)), {.kind = GetParam()}, 8);
        const auto counts = testing::count_picks(selector, size * 50);
        for (std::size_t i = 0; i < size; ++i) EXPECT_GT(counts[i], 0U) << i << " of " << size;
    }
}

TEST_P(EachPolicy, a_client_visits_each_backend_once_and_the_tiers_in_order) {
    const auto set = make_set({{.tier = 1}, {.tier = 0}, {.tier = 0}, {.tier = 5}, {.tier = 1}});
    Selector selector(set, {.kind = GetParam()}, 8);
    Bitmap tried(set->size());
    std::vector<std::uint32_t> tiers;
    while (const auto picked = testing::pick(selector, tried)) {
        ASSERT_FALSE(tried.test(*picked));
        tried.set(*picked);
        for (const auto& tier : set->tiers())
            if (*picked >= tier.begin && *picked < tier.end) tiers.push_back(tier.number);
    }
    EXPECT_EQ(tiers, (std::vector<std::uint32_t>{0, 0, 1, 1, 5}));
}

TEST_P(EachWeightedPolicy, shares_of_idle_backends_are_within_two_percent_of_the_weights) {
    const std::vector<std::uint32_t> weights{1, 2, 3, 4, 10, 0, 20};
    const auto set = make_set_of_weights(weights);
    for (std::size_t i = 0; i < set->size(); ++i)
        set->backend(i).latency().record(std::chrono::milliseconds(20 + i), testing::noon);
    for (const Duration window : {Duration{}, Duration(std::chrono::seconds(10))}) {
        Selector selector(set, {.kind = GetParam(), .slow_start = {.window = window}}, 8);
        const auto counts = testing::count_picks(selector, 100'000);
        for (std::size_t i = 0; i < weights.size(); ++i)
            EXPECT_NEAR(static_cast<double>(counts[i]), weights[i] * 2500.0, 0.02 * 100'000) << i;
        // The smallest too, where the tolerance above says little.
        EXPECT_NEAR(static_cast<double>(counts[0]), 2500, 250);
    }
}

TEST_P(EachPolicy, limits_that_nobody_reaches_change_nothing) {
    std::vector<testing::Member> members{{.weight = 5}, {.weight = 1}, {.weight = 1}};
    Selector unlimited(make_set(members), {.kind = GetParam()}, 8);
    for (auto& member : members) member.limits = {.connections = 1000, .connecting = 10};
    Selector limited(make_set(members), {.kind = GetParam()}, 8);
    std::vector<Permit> held;
    for (int n = 0; n < 700; ++n) {
        auto pick = limited.pick({.tried = {}, .key = {}, .now = testing::noon});
        ASSERT_TRUE(pick.has_value());
        ASSERT_EQ(pick->index, testing::pick(unlimited)) << n;
        held.push_back(std::move(pick->slot));
    }
}

TEST_P(EachWeightedPolicy, backups_serve_only_while_their_betters_are_down) {
    const auto set = make_set({{.tier = 0}, {.tier = 1}, {.tier = 1}});
    Selector selector(set, {.kind = GetParam()}, 8);
    EXPECT_EQ(testing::count_picks(selector, 100)[0], 100U);
    selector.set_available(0, false);
    const auto counts = testing::count_picks(selector, 100);
    EXPECT_EQ(counts[0], 0U);
    EXPECT_GT(counts[1], 0U);
    EXPECT_GT(counts[2], 0U);
    selector.set_available(0, true);
    EXPECT_EQ(testing::count_picks(selector, 100)[0], 100U);
}

TEST_P(EachPolicy, asking_takes_nobodys_turn) {
    const auto set = make_set_of_weights({3, 2, 1});
    Selector asked(set, {.kind = GetParam()}, 21);
    Selector plain(set, {.kind = GetParam()}, 21);
    for (int n = 0; n < 100; ++n) {
        EXPECT_TRUE(asked.can_pick({}));
        ASSERT_EQ(testing::pick(asked), testing::pick(plain));
    }
}

TEST_P(EachPolicy, a_repeated_verdict_changes_nothing) {
    const auto set = make_set_of_weights({3, 2, 1, 1});
    Selector repeated(set, {.kind = GetParam()}, 21);
    Selector plain(set, {.kind = GetParam()}, 21);
    plain.set_available(2, false);
    for (int n = 0; n < 100; ++n) {
        repeated.set_available(2, false);
        repeated.set_available(0, true);
        ASSERT_EQ(testing::pick(repeated), testing::pick(plain));
    }
}

TEST(Selector, round_robin_of_the_others_is_undisturbed_by_one_that_flaps) {
    const auto set = make_set(std::vector<testing::Member>(4));
    Selector selector(set, {.kind = PolicyKind::round_robin}, 5);
    Random random(1);
    std::vector<std::uint64_t> counts(4);
    for (int n = 0; n < 4000; ++n) {
        selector.set_available(3, random.below(2) == 0);
        ++counts[*testing::pick(selector)];
    }
    for (std::size_t i = 0; i < 3; ++i)
        EXPECT_NEAR(static_cast<double>(counts[i]), static_cast<double>(counts[0]), 60);
    EXPECT_LT(counts[3], counts[0]);
    EXPECT_GT(counts[3], 0U);
}

TEST(Selector, keeps_the_set_and_its_backends_alive) {
    auto set = make_set(std::vector<testing::Member>(2));
    const std::weak_ptr<Backend> backend = set->share(1);
    {
        const Selector selector(std::move(set), {.kind = PolicyKind::p2c}, 1);
        EXPECT_FALSE(backend.expired());
    }
    EXPECT_TRUE(backend.expired());
}

}  // namespace
}  // namespace penstock::balancer
