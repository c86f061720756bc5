#include <gtest/gtest.h>

#include "tests/unit/balancer/support.hpp"

namespace penstock::balancer {
namespace {

using testing::make_set;

Bitmap bits(std::size_t size, std::initializer_list<std::uint32_t> set) {
    Bitmap bitmap(size);
    for (const std::uint32_t i : set) bitmap.set(i);
    return bitmap;
}

std::shared_ptr<Snapshot> snapshot_of(const std::shared_ptr<const BackendSet>& set) {
    return std::make_shared<Snapshot>(set);
}

std::expected<Pick, PickFailure> pick(Selector& selector, const Bitmap* ready_made = nullptr) {
    return selector.pick({.tried = {}, .key = {}, .now = testing::noon, .ready_made = ready_made});
}

TEST(SelectorAdopt, follows_the_view_of_its_role) {
    const auto set = make_set({{}, {}, {}});
    const auto snapshot = snapshot_of(set);
    snapshot->views[1].available = bits(3, {1});
    snapshot->views[2].available = bits(3, {0, 2});
    Selector anybody(set, {}, 1);
    Selector primary(set, {}, 2);
    Selector replica(set, {}, 3);
    anybody.adopt(*snapshot, Role::none);
    primary.adopt(*snapshot, Role::primary);
    replica.adopt(*snapshot, Role::replica);
    const auto all = testing::count_picks(anybody, 300);
    for (const auto count : all) EXPECT_GT(count, 0U);
    EXPECT_EQ(testing::count_picks(primary, 100), (std::vector<std::uint64_t>{0, 100, 0}));
    const auto replicas = testing::count_picks(replica, 100);
    EXPECT_GT(replicas[0], 0U);
    EXPECT_EQ(replicas[1], 0U);
    EXPECT_GT(replicas[2], 0U);
}

TEST(SelectorAdopt, nobody_is_available_to_a_role_that_nobody_has) {
    const auto set = make_set({{}, {}});
    Selector primary(set, {}, 1);
    primary.adopt(*snapshot_of(set), Role::primary);
    EXPECT_FALSE(primary.any_available());
    EXPECT_EQ(pick(primary).error(), PickFailure::none_available);
}

TEST(SelectorAdopt, what_may_never_serve_stays_out_whatever_the_view_says) {
    const auto set = make_set({{.weight = 0}, {.ready = false}, {}});
    const auto snapshot = snapshot_of(set);
    snapshot->views[0].available = bits(3, {0, 1, 2});
    Selector selector(set, {}, 1);
    selector.adopt(*snapshot, Role::none);
    EXPECT_EQ(testing::count_picks(selector, 50), (std::vector<std::uint64_t>{0, 0, 50}));
}

TEST(SelectorAdopt, another_set_takes_the_place_of_the_first) {
    for (const auto kind : testing::all_policies) {
        Selector selector(make_set({{}, {}}), {.kind = kind}, 1);
        ASSERT_TRUE(pick(selector));
        const auto larger = make_set({{.weight = 2}, {}, {.tier = 1}, {.weight = 3}});
        const auto snapshot = snapshot_of(larger);
        snapshot->views[0].available = bits(4, {0, 1, 3});
        selector.adopt(*snapshot, Role::none);
        EXPECT_EQ(&selector.set(), larger.get());
        const auto counts = testing::count_picks(selector, 100);
        EXPECT_EQ(counts[2] + counts[3], 0U) << testing::name_of(kind);  // sorted: tier 1, off
        EXPECT_EQ(counts[0] + counts[1], 100U);
        const auto empty = make_set({});
        selector.adopt(*snapshot_of(empty), Role::none);
        EXPECT_EQ(pick(selector).error(), PickFailure::none_available);
    }
}

TEST(SelectorAdopt, an_open_circuit_lets_nobody_pass_though_the_view_is_older) {
    const auto set = make_set({{}, {}});
    Selector selector(set, {.kind = PolicyKind::first}, 1);
    set->backend(0).circuit().open();
    for (int i = 0; i < 10; ++i) EXPECT_EQ(pick(selector)->index, 1U);
    set->backend(1).circuit().open();
    EXPECT_EQ(pick(selector).error(), PickFailure::all_full);
    EXPECT_FALSE(selector.has_room());
    set->backend(0).circuit().close();
    EXPECT_TRUE(selector.has_room());
    EXPECT_EQ(pick(selector)->index, 0U);
}

TEST(SelectorAdopt, a_half_open_backend_gets_its_trials_and_no_more) {
    const auto set = make_set({{}, {}});
    Selector selector(set, {.kind = PolicyKind::first}, 1);
    Circuit& circuit = set->backend(0).circuit();
    circuit.open();
    circuit.half_open(2);
    auto first = pick(selector);
    auto second = pick(selector);
    EXPECT_TRUE(first->index == 0 && first->pass.trial);
    EXPECT_TRUE(second->index == 0 && second->pass.trial);
    EXPECT_EQ(pick(selector)->index, 1U);
    circuit.give_back(first->pass);
    EXPECT_EQ(pick(selector)->index, 0U);
}

TEST(SelectorAdopt, a_trial_without_a_slot_is_free_again) {
    const auto set = make_set({{.limits = {.connections = 1}}});
    Selector selector(set, {}, 1);
    Permit taken = set->backend(0).slots().try_acquire();
    Circuit& circuit = set->backend(0).circuit();
    circuit.half_open(1);
    EXPECT_EQ(pick(selector).error(), PickFailure::all_full);
    EXPECT_EQ(circuit.trials().left, 1U);
    EXPECT_TRUE(taken);
}

TEST(SelectorAdopt, panic_passes_whatever_the_circuit_says) {
    const auto set = make_set({{}});
    const auto snapshot = snapshot_of(set);
    snapshot->views[0].forced = bits(1, {0});
    Selector selector(set, {}, 1);
    selector.adopt(*snapshot, Role::none);
    Circuit& circuit = set->backend(0).circuit();
    circuit.open();
    EXPECT_TRUE(selector.has_room());
    auto forced = pick(selector);
    ASSERT_TRUE(forced);
    EXPECT_FALSE(forced->pass.trial);
    EXPECT_FALSE(circuit.is_current(forced->pass));  // none of the breaker's business
    circuit.half_open(1);
    EXPECT_TRUE(pick(selector)->pass.trial);
    EXPECT_FALSE(pick(selector)->pass.trial);
    selector.adopt(*snapshot_of(set), Role::none);
    EXPECT_EQ(pick(selector).error(), PickFailure::all_full);
}

TEST(SelectorAdopt, a_warm_connection_needs_a_pass_too) {
    const auto set = make_set({{}});
    Selector selector(set, {}, 1);
    const Bitmap warm = bits(1, {0});
    set->backend(0).circuit().half_open(1);
    const auto taken = pick(selector, &warm);
    ASSERT_TRUE(taken);
    EXPECT_FALSE(taken->slot);
    EXPECT_TRUE(taken->pass.trial);
    EXPECT_EQ(pick(selector, &warm).error(), PickFailure::all_full);
}

}  // namespace
}  // namespace penstock::balancer
