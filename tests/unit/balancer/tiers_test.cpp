// Which tiers serve, and what a limit changes: available and eligible are different things.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support.hpp"

namespace penstock::balancer {
namespace {

using testing::make_set;
using testing::Member;

// What one backend is like in a case: its tier, and u(p), d(own), f(ull), c (too many connecting),
// t(ried), w (full, but the caller has a warm connection).
struct Place {
    std::uint32_t tier;
    char state;
};

struct Case {
    const char* what;
    std::vector<Place> places;
    bool spill;
    double join_below;
    std::vector<std::uint32_t> may_pick;  // empty: `failure`
    PickFailure failure = PickFailure::none_available;
    bool has_room = true;  // tried or not
};

constexpr auto none_available = PickFailure::none_available;
constexpr auto all_full = PickFailure::all_full;

const Case cases[] = {
    {"lowest tier serves", {{0, 'u'}, {0, 'u'}, {1, 'u'}}, false, 0, {0, 1}},
    {"down gives way to the next tier", {{0, 'd'}, {1, 'u'}}, false, 0, {1}},
    {"a tier of tried ones too", {{0, 't'}, {1, 'u'}}, false, 0, {1}},
    {"full ones are passed over", {{0, 'f'}, {0, 'u'}, {1, 'u'}}, false, 0, {1}},
    {"connecting counts as full", {{0, 'c'}, {0, 'u'}}, false, 0, {1}},
    {"a full tier does not spill", {{0, 'f'}, {1, 'u'}}, false, 0, {}, all_full, false},
    {"nor one that is full or down", {{0, 'f'}, {0, 'd'}, {1, 'u'}}, false, 0, {}, all_full, false},
    {"nor one too busy connecting", {{0, 'c'}, {1, 'u'}}, false, 0, {}, all_full, false},
    {"a tier of tried ones and dead ones", {{0, 't'}, {0, 'd'}, {1, 'u'}}, false, 0, {2}},
    {"the tier after it is full", {{0, 'd'}, {1, 'f'}, {2, 'u'}}, false, 0, {}, all_full, false},
    {"told to spill", {{0, 'f'}, {1, 'u'}}, true, 0, {1}},
    {"spill goes in order", {{0, 'f'}, {1, 'f'}, {2, 'u'}, {3, 'u'}}, true, 0, {2}},
    {"spill passes over what is down", {{0, 'f'}, {1, 'd'}, {2, 'u'}}, true, 0, {2}},
    {"spill finds all full", {{0, 'f'}, {1, 'f'}}, true, 0, {}, all_full, false},
    {"spill finds the rest down", {{0, 'f'}, {1, 'd'}}, true, 0, {}, all_full, false},
    {"spill finds the rest tried", {{0, 'f'}, {1, 't'}}, true, 0, {}, all_full, true},
    {"all down", {{0, 'd'}, {1, 'd'}}, true, 0, {}, none_available, false},
    {"all tried", {{0, 't'}, {1, 't'}}, false, 0, {}, none_available, true},
    {"a warm connection has its slot", {{0, 'w'}, {0, 'f'}, {1, 'u'}}, false, 0, {0}, {}, false},
    {"warm beside free", {{0, 'w'}, {0, 'u'}}, false, 0, {0, 1}},
    {"warm in a back-up tier does not help", {{0, 'f'}, {1, 'w'}}, false, 0, {}, all_full, false},
    {"warm in a back-up tier, spill", {{0, 'f'}, {1, 'w'}}, true, 0, {1}, {}, false},
    {"more than the share: no join", {{0, 'u'}, {0, 'u'}, {0, 'd'}, {1, 'u'}}, false, 0.5, {0, 1}},
    {"at the share: join", {{0, 'u'}, {0, 'd'}, {1, 'u'}}, false, 0.5, {0, 2}},
    {"below the share: join", {{0, 'u'}, {0, 'd'}, {0, 'd'}, {1, 'u'}}, false, 0.5, {0, 3}},
    {"the next joins at its own share",
     {{0, 'u'}, {0, 'd'}, {1, 'd'}, {2, 'u'}, {2, 'u'}, {3, 'u'}},
     false,
     0.5,
     {0, 3, 4}},
    {"none left of the lowest", {{0, 'd'}, {1, 'u'}, {2, 'u'}}, false, 0.3, {1}},
    {"tried does not join", {{0, 't'}, {0, 'u'}, {1, 'u'}}, false, 0.5, {1}},
    {"all of the joined tried", {{0, 't'}, {0, 'd'}, {1, 't'}, {2, 'u'}}, false, 0.5, {3}},
    {"the joined serve when one is full", {{0, 'f'}, {0, 'd'}, {1, 'u'}}, false, 0.5, {2}},
    {"all joined full", {{0, 'f'}, {0, 'd'}, {1, 'f'}, {2, 'u'}}, false, 0.5, {}, all_full, false},
    {"all joined full, spill", {{0, 'f'}, {0, 'd'}, {1, 'f'}, {2, 'u'}}, true, 0.5, {3}},
    {"everything joins", {{0, 'u'}, {0, 'd'}, {1, 'd'}, {1, 'd'}}, false, 0.9, {0}},
};

// Everything of one case, its permits included.
struct Scene {
    explicit Scene(const Case& c)
        : set(make_set(members(c), {.tiers_join = c.join_below > 0})),
          tried(set->size()),
          warm(set->size()) {
        for (std::uint32_t i = 0; i < set->size(); ++i) {
            const char state = c.places[i].state;
            if (state == 'f' || state == 'w') held.push_back(set->backend(i).slots().try_acquire());
            if (state == 'c') held.push_back(set->backend(i).connecting().try_acquire());
            if (state == 't') tried.set(i);
            if (state == 'w') warm.set(i);
        }
    }
    static std::vector<Member> members(const Case& c) {
        std::vector<Member> members;
        for (const auto& place : c.places)
            members.push_back({.tier = place.tier, .limits = {.connections = 1, .connecting = 1}});
        return members;
    }

    std::shared_ptr<const BackendSet> set;
    Bitmap tried;
    Bitmap warm;
    std::vector<Permit> held;
};

TEST(Tiers, table_of_who_serves) {
    for (const PolicyKind kind : testing::all_policies) {
        for (const Case& c : cases) {
            const std::string text = std::string(c.what) + ", " + testing::name_of(kind);
            const Scene scene(c);
            Selector selector(
                scene.set,
                {.kind = kind, .spill_when_full = c.spill, .tier_join_below = c.join_below}, 3);
            for (std::uint32_t i = 0; i < c.places.size(); ++i)
                selector.set_available(i, c.places[i].state != 'd');
            EXPECT_EQ(selector.has_room(), c.has_room) << text;

            std::vector<bool> picked(c.places.size());
            for (int n = 0; n < 100; ++n) {
                const auto pick = selector.pick({.tried = scene.tried,
                                                 .key = {},
                                                 .now = testing::noon,
                                                 .ready_made = &scene.warm});
                ASSERT_EQ(pick.has_value(), !c.may_pick.empty()) << text;
                if (!pick) {
                    EXPECT_EQ(pick.error(), c.failure) << text;
                    continue;
                }
                picked[pick->index] = true;
                const bool warm = scene.warm.test(pick->index);
                EXPECT_EQ(static_cast<bool>(pick->slot), !warm) << text;
                EXPECT_EQ(static_cast<bool>(pick->connecting), !warm) << text;
            }
            for (std::uint32_t i = 0; i < picked.size(); ++i) {
                const bool may = std::ranges::find(c.may_pick, i) != c.may_pick.end();
                const bool only_first = kind == PolicyKind::first && !c.may_pick.empty();
                EXPECT_EQ(picked[i], only_first ? i == c.may_pick.front() : may)
                    << text << ' ' << i;
            }
        }
    }
}

TEST(Tiers, share_that_joins_is_by_weight_of_those_that_are_ready) {
    // Of 10 ready (the 90 is in drain) 4 stay, then 3.
    const auto set = make_set(
        {{.weight = 90, .ready = false}, {.weight = 4}, {.weight = 3}, {.weight = 3}, {.tier = 1}},
        {.tiers_join = true});
    Selector selector(set, {.kind = PolicyKind::round_robin, .tier_join_below = 0.3}, 1);
    selector.set_available(2, false);
    selector.set_available(3, false);
    EXPECT_EQ(testing::count_picks(selector, 50)[4], 0U);
    selector.set_available(3, true);
    selector.set_available(1, false);
    const auto counts = testing::count_picks(selector, 400);
    EXPECT_NEAR(static_cast<double>(counts[3]), 300, 1) << "one common rotation, by weight";
    EXPECT_NEAR(static_cast<double>(counts[4]), 100, 1);
    selector.set_available(1, true);
    EXPECT_EQ(testing::count_picks(selector, 50)[4], 0U);
}

TEST(Tiers, beyond_the_sixteenth_they_serve_alone) {
    std::vector<Member> members;
    for (std::uint32_t tier = 0; tier < 20; ++tier) members.push_back({.tier = tier});
    const auto set = make_set(members, {.tiers_join = true});
    Selector selector(set, {.kind = PolicyKind::round_robin, .tier_join_below = 1}, 1);
    auto counts = testing::count_picks(selector, 1600);
    for (std::uint32_t i = 0; i < 20; ++i) EXPECT_EQ(counts[i], i < 16 ? 100U : 0U) << i;
    for (std::uint32_t i = 0; i < 16; ++i) selector.set_available(i, false);
    counts = testing::count_picks(selector, 100);
    EXPECT_EQ(counts[16], 100U);
    selector.set_available(16, false);
    EXPECT_EQ(testing::count_picks(selector, 100)[17], 100U);
}

TEST(Tiers, permits_of_a_pick_are_given_back_with_it) {
    const auto set = make_set({{.limits = {.connections = 2, .connecting = 1}}});
    Selector selector(set, {}, 1);
    auto first = selector.pick({.tried = {}, .key = {}, .now = testing::noon});
    ASSERT_TRUE(first.has_value());
    EXPECT_FALSE(selector.has_room());
    first->connecting.release();
    EXPECT_TRUE(selector.has_room());
    {
        const auto second = selector.pick({.tried = {}, .key = {}, .now = testing::noon});
        ASSERT_TRUE(second.has_value());
        EXPECT_EQ(set->backend(0).slots().used(), 2U);
        EXPECT_EQ(selector.pick({.tried = {}, .key = {}, .now = testing::noon}).error(), all_full);
    }
    EXPECT_EQ(set->backend(0).slots().used(), 1U);
    EXPECT_EQ(set->backend(0).connecting().used(), 0U);
}

}  // namespace
}  // namespace penstock::balancer
