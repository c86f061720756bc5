// What maglev and ring_hash have in common: stable choices, and who is skipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "balancer/hash.hpp"
#include "support.hpp"

namespace penstock::balancer {
namespace {

using testing::Member;
using testing::noon;

class HashPolicy : public ::testing::TestWithParam<PolicyKind> {
protected:
    [[nodiscard]] static std::shared_ptr<const BackendSet> make_set(
        const std::vector<Member>& members, std::uint64_t seed = 0, bool tiers_join = false) {
        const bool ring = GetParam() == PolicyKind::ring_hash;
        return testing::make_set(members,
                                 {.tiers_join = tiers_join,
                                  .hash_tables = ring ? HashTables::ring : HashTables::maglev,
                                  .hash_seed = seed});
    }
    [[nodiscard]] static Selector make_selector(std::shared_ptr<const BackendSet> set,
                                                SelectorOptions options = {},
                                                std::uint64_t seed = 1) {
        options.kind = GetParam();
        return {std::move(set), options, seed};
    }
    static std::uint32_t pick(Selector& selector, std::uint64_t key, const Bitmap& tried = {},
                              TimePoint now = noon) {
        return selector.pick({.tried = tried, .key = mix64(key), .now = now}).value().index;
    }
    static std::vector<std::uint32_t> pick_all(Selector& selector, std::uint64_t keys,
                                               const Bitmap& tried = {}, TimePoint now = noon) {
        std::vector<std::uint32_t> picks;
        for (std::uint64_t key = 0; key < keys; ++key)
            picks.push_back(pick(selector, key, tried, now));
        return picks;
    }
    static std::vector<std::uint64_t> count(const std::vector<std::uint32_t>& picks,
                                            std::size_t size) {
        std::vector<std::uint64_t> counts(size);
        for (const auto i : picks) ++counts[i];
        return counts;
    }
};

TEST_P(HashPolicy, a_key_stays_whatever_the_load_and_on_every_worker) {
    const auto set = make_set(std::vector<Member>(20));
    auto one = make_selector(set);
    auto two = make_selector(set, {}, 99);
    const auto picks = pick_all(one, 1000);
    for (const auto i : picks) set->backend(i).session_started();
    EXPECT_EQ(pick_all(one, 1000), picks);
    EXPECT_EQ(pick_all(two, 1000), picks);
    const auto counts = count(picks, 20);
    EXPECT_GT(std::ranges::min(counts), 0U);
}

// Those of the backend that is gone go to all others by weight; nobody else moves, and all return.
TEST_P(HashPolicy, only_the_keys_of_the_missing_move) {
    constexpr std::uint32_t size = 10;
    constexpr std::uint64_t keys = 20'000;
    auto selector = make_selector(make_set(std::vector<Member>(size)));
    const auto before = pick_all(selector, keys);
    Bitmap tried(size);
    tried.set(3);
    selector.set_available(3, false);
    const auto while_down = pick_all(selector, keys);
    selector.set_available(3, true);
    EXPECT_EQ(pick_all(selector, keys), before);
    EXPECT_EQ(pick_all(selector, keys, tried), while_down);
    std::vector<std::uint64_t> heirs(size);
    for (std::size_t key = 0; key < keys; ++key) {
        if (before[key] == 3)
            ++heirs[while_down[key]];
        else
            ASSERT_EQ(while_down[key], before[key]);
    }
    EXPECT_EQ(heirs[3], 0U);
    for (std::uint32_t i = 0; i < size; ++i) {
        // Some 2000 keys for nine. On the ring, the heirs of 160 arcs; on maglev, of each key.
        if (i == 3) continue;
        EXPECT_GT(heirs[i], GetParam() == PolicyKind::maglev ? 150U : 50U) << i;
    }
}

TEST_P(HashPolicy, one_left_of_many_gets_all) {
    constexpr std::uint32_t size = 60;
    std::vector<Member> members(size, {.weight = 100});
    members[47].weight = 1;
    auto selector = make_selector(make_set(members));
    for (std::uint32_t i = 0; i < size; ++i) selector.set_available(i, i == 47);
    for (const auto i : pick_all(selector, 300)) ASSERT_EQ(i, 47U);
}

// Far fewer than a walk finds: they share by weight, and each key stays with its own.
TEST_P(HashPolicy, few_left_of_many_share) {
    constexpr std::uint32_t size = 300;
    std::vector<Member> members(size, {.weight = 3});
    members[100].weight = 1;
    auto selector = make_selector(make_set(members));
    for (std::uint32_t i = 0; i < size; ++i) selector.set_available(i, i == 100 || i == 200);
    const auto picks = pick_all(selector, 10'000);
    const auto counts = count(picks, size);
    EXPECT_NEAR(static_cast<double>(counts[200]) / 10'000, 0.75, 0.06);
    EXPECT_EQ(pick_all(selector, 10'000), picks);
}

TEST_P(HashPolicy, full_ones_are_skipped) {
    std::vector<Member> members(4);
    members[2].limits.connections = 1;
    const auto set = make_set(members);
    auto selector = make_selector(set);
    const auto before = pick_all(selector, 1000);
    const Permit taken = set->backend(2).slots().try_acquire();
    for (std::uint64_t key = 0; key < 1000; ++key) {
        const auto now = pick(selector, key);
        if (before[key] == 2)
            ASSERT_NE(now, 2U);
        else
            ASSERT_EQ(now, before[key]);
    }
}

TEST_P(HashPolicy, without_a_key_they_go_in_turns) {
    auto selector = make_selector(make_set({{.weight = 3}, {.weight = 1}, {.weight = 2}}));
    EXPECT_EQ(testing::count_picks(selector, 600), (std::vector<std::uint64_t>{300, 100, 200}));
    selector.set_available(2, false);
    EXPECT_EQ(testing::count_picks(selector, 400), (std::vector<std::uint64_t>{300, 100, 0}));
}

TEST_P(HashPolicy, each_tier_has_its_table) {
    std::vector<Member> members(6);
    for (std::uint32_t i = 3; i < 6; ++i) members[i].tier = 1;
    auto selector = make_selector(make_set(members));
    for (const auto i : pick_all(selector, 300)) ASSERT_LT(i, 3U);
    for (std::uint32_t i = 0; i < 3; ++i) selector.set_available(i, false);
    const auto counts = count(pick_all(selector, 300), 6);
    EXPECT_EQ(counts[0] + counts[1] + counts[2], 0U);
    EXPECT_GT(std::min({counts[3], counts[4], counts[5]}), 30U);
}

TEST_P(HashPolicy, joined_tiers_have_a_table_together) {
    std::vector<Member> members(6);
    for (std::uint32_t i = 3; i < 6; ++i) members[i].tier = 1;
    auto selector = make_selector(make_set(members, 0, true), {.tier_join_below = 0.5});
    selector.set_available(0, false);
    selector.set_available(1, false);
    const auto counts = count(pick_all(selector, 1000), 6);
    EXPECT_EQ(counts[0] + counts[1], 0U);
    for (std::uint32_t i = 2; i < 6; ++i) EXPECT_GT(counts[i], 100U) << i;
}

// Drain is a matter of the moment: its keys come back.
TEST_P(HashPolicy, not_ready_keeps_its_place) {
    std::vector<Member> members(5);
    auto all = make_selector(make_set(members));
    members[1].ready = false;
    auto drained = make_selector(make_set(members));
    for (std::uint64_t key = 0; key < 2000; ++key) {
        const auto before = pick(all, key);
        const auto now = pick(drained, key);
        if (before == 1)
            ASSERT_NE(now, 1U);
        else
            ASSERT_EQ(now, before);
    }
}

TEST_P(HashPolicy, checksum_is_of_tables_and_seed) {
    const auto checksum = make_set(std::vector<Member>(5))->hash_checksum();
    EXPECT_NE(checksum, 0U);
    EXPECT_EQ(make_set(std::vector<Member>(5))->hash_checksum(), checksum);
    EXPECT_NE(make_set(std::vector<Member>(5), 1)->hash_checksum(), checksum);
    EXPECT_NE(make_set(std::vector<Member>(6))->hash_checksum(), checksum);
    EXPECT_EQ(testing::make_set(std::vector<Member>(5))->hash_checksum(), 0U);
}

// The promise of bounded load, checked at every step while sessions of few keys come and go.
TEST_P(HashPolicy, bounded_load_bounds_everybody) {
    const std::vector<std::uint32_t> weights{1, 1, 2, 4, 1, 1, 3, 1};
    const double weight_sum = std::reduce(weights.begin(), weights.end(), 0.0);
    for (const double factor : {1.0, 1.1, 1.25, 2.0}) {
        std::vector<Member> members;
        for (const auto weight : weights) members.push_back({.weight = weight});
        const auto set = make_set(members);
        auto selector = make_selector(set, {.bounded_load = factor});
        Random random(5);
        std::vector<std::uint32_t> sessions;
        std::size_t away = 0;
        auto unbounded = make_selector(set);
        for (int step = 0; step < 5000; ++step) {
            if (!sessions.empty() && random.below(5) < 2) {
                std::swap(sessions[random.below(static_cast<std::uint32_t>(sessions.size()))],
                          sessions.back());
                set->backend(sessions.back()).session_ended();
                sessions.pop_back();
                continue;
            }
            const auto key = random.below(10);
            const auto i = pick(selector, key);
            if (i != pick(unbounded, key)) ++away;
            set->backend(i).session_started();
            sessions.push_back(i);
            const double share =
                static_cast<double>(sessions.size()) * weights[i] / weight_sum * factor;
            ASSERT_LE(set->backend(i).active(), std::ceil(share - 1e-9)) << factor << ' ' << step;
        }
        EXPECT_GT(away, 100U) << "the bound was never felt";
    }
}

TEST_P(HashPolicy, bounded_load_is_not_felt_below_the_bound) {
    const auto set = make_set(std::vector<Member>(10));
    for (std::uint32_t i = 0; i < 10; ++i)
        for (int n = 0; n < 100; ++n) set->backend(i).session_started();
    auto bounded = make_selector(set, {.bounded_load = 1.25});
    auto unbounded = make_selector(set);
    EXPECT_EQ(pick_all(bounded, 1000), pick_all(unbounded, 1000));
}

// The mean is that of those who can be picked: when the others are gone, these must carry all.
TEST_P(HashPolicy, bounded_load_counts_those_who_are_left) {
    const auto set = make_set(std::vector<Member>(4));
    auto selector = make_selector(set, {.bounded_load = 1.0});
    selector.set_available(0, false);
    selector.set_available(1, false);
    for (std::uint64_t n = 0; n < 100; ++n) set->backend(pick(selector, 7)).session_started();
    EXPECT_EQ(set->backend(2).active(), 50U);
    EXPECT_EQ(set->backend(3).active(), 50U);
}

// A backend that ramps up takes its keys one by one, and whoever has come stays.
TEST_P(HashPolicy, slow_start_takes_a_growing_share_of_its_own_keys) {
    constexpr std::uint64_t keys = 20'000;
    const auto set = make_set(std::vector<Member>(5));
    const Duration window = std::chrono::seconds(100);
    auto selector = make_selector(set, {.slow_start = {.window = window, .min_weight = 0.1}});
    auto whole = make_selector(set);
    const auto home = pick_all(whole, keys);
    const auto own = static_cast<double>(std::ranges::count(home, 2U));
    set->backend(2).start_slowly(noon);
    std::vector<bool> came(keys);
    for (const double progress : {0.0, 0.25, 0.5, 0.75, 1.0}) {
        const auto now =
            noon +
            Duration(static_cast<Duration::rep>(progress * static_cast<double>(window.count())));
        const auto picks = pick_all(selector, keys, {}, now);
        std::size_t here = 0;
        for (std::size_t key = 0; key < keys; ++key) {
            if (home[key] != 2) {
                ASSERT_EQ(picks[key], home[key]);
                continue;
            }
            if (picks[key] == 2) ++here;
            ASSERT_TRUE(!came[key] || picks[key] == 2) << "came and went";
            came[key] = picks[key] == 2;
        }
        EXPECT_NEAR(static_cast<double>(here) / own, std::max(0.1, progress), 0.03) << progress;
    }
}

// All of them at once: nobody may be refused, and the shares are equal again.
TEST_P(HashPolicy, slow_start_of_all_is_no_start_at_all) {
    const auto set = make_set(std::vector<Member>(4));
    for (std::uint32_t i = 0; i < 4; ++i) set->backend(i).start_slowly(noon);
    auto selector = make_selector(
        set, {.slow_start = {.window = std::chrono::seconds(100), .min_weight = 0.1}});
    const auto counts = count(pick_all(selector, 4000), 4);
    EXPECT_GT(std::ranges::min(counts), 700U);
}

INSTANTIATE_TEST_SUITE_P(, HashPolicy, ::testing::Values(PolicyKind::maglev, PolicyKind::ring_hash),
                         [](const auto& instance) { return testing::name_of(instance.param); });

}  // namespace
}  // namespace penstock::balancer
