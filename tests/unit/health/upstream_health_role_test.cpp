// Roles, as UpstreamHealth sees them.
#include "health/upstream_health.hpp"

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using testing::bad;
using testing::Bench;
using testing::good;

config::Upstream database(config::OnRoleChange on_change = config::OnRoleChange::kill) {
    config::Upstream settings = testing::checked();
    settings.health_check.type = config::CheckType::postgres;
    settings.on_role_change = on_change;
    return settings;
}
constexpr UpstreamHealth::Options both{.asked_primary = true, .asked_replica = true};

TEST(UpstreamHealthRole, a_role_view_contains_only_that_role) {
    Bench bench(database(), both);
    const MemberId a = bench.add("a");
    const MemberId b = bench.add("b");
    bench.probe(a, good(Role::primary));
    bench.probe(b, good(Role::replica));
    EXPECT_TRUE(bench.available(a) && bench.available(b));
    EXPECT_TRUE(bench.available(a, Role::primary));
    EXPECT_FALSE(bench.available(b, Role::primary));
    EXPECT_FALSE(bench.available(a, Role::replica));
    EXPECT_TRUE(bench.available(b, Role::replica));
    EXPECT_TRUE(bench.health().any_available(Role::primary));
    EXPECT_EQ(bench.health().status(a).role, Role::primary);
}

TEST(UpstreamHealthRole, a_role_counts_at_once_even_if_the_check_fails) {
    Bench bench(database(), both);
    const MemberId a = bench.add("a");
    bench.probe(a, good(Role::primary));
    bench.forget();
    bench.probe(a, bad("HTTP 503", Role::replica));
    EXPECT_FALSE(bench.available(a, Role::primary));
    EXPECT_TRUE(bench.available(a, Role::replica)) << "one failure does not take it down";
    EXPECT_EQ(bench.text(EventKind::role_changed), "a has the role replica now, before primary");
    EXPECT_EQ(bench.text(EventKind::none_available),
              " has no backend available for clients that ask for a primary");
}

TEST(UpstreamHealthRole, a_backend_that_is_down_keeps_its_last_role_and_a_silent_one_has_none) {
    config::Upstream settings = database();
    settings.panic_threshold = 0.5;
    Bench bench(settings, both);
    const MemberId a = bench.add("a");
    bench.probe(a, good(Role::primary));
    bench.probe(a, bad(), 3);
    EXPECT_EQ(bench.health().status(a).role, Role::primary);
    EXPECT_TRUE(bench.forced(a, Role::primary)) << "panic";
    EXPECT_FALSE(bench.available(a, Role::replica));
    EXPECT_TRUE(bench.done.end.empty());
    bench.probe(a, good());
    EXPECT_EQ(bench.health().status(a).role, Role::none);
    EXPECT_FALSE(bench.available(a, Role::primary));
    EXPECT_EQ(bench.done.end.size(), 1U);
}

TEST(UpstreamHealthRole, fail_over_without_conflict) {
    Bench bench(database(), both);
    const MemberId a = bench.add("a");
    const MemberId b = bench.add("b");
    bench.probe(a, good(Role::primary));
    bench.probe(b, good(Role::replica));
    bench.probe(a, bad(), 3);
    bench.forget();
    bench.probe(b, good(Role::primary));
    EXPECT_TRUE(bench.available(b, Role::primary));
    EXPECT_FALSE(bench.health().role_conflict());
    EXPECT_EQ(bench.count(EventKind::role_conflict), 0);
    // Sessions of the old primary, and those of clients that wanted a replica.
    ASSERT_EQ(bench.done.end.size(), 2U);
    for (const EndSessions& end : bench.done.end) {
        EXPECT_EQ(end.cause, EndCause::role_changed);
        EXPECT_TRUE(end.at_once);
        EXPECT_EQ(end.asked, end.backend == bench.share(a) ? Role::primary : Role::replica);
    }
    // It comes back, and does not know yet.
    bench.probe(a, good(Role::primary), 2);
    EXPECT_TRUE(bench.health().role_conflict());
    EXPECT_TRUE(bench.health().status(a).role_disputed);
    EXPECT_FALSE(bench.available(a, Role::primary));
    EXPECT_TRUE(bench.available(b, Role::primary));
    EXPECT_EQ(bench.text(EventKind::role_conflict),
              "b says that it is primary, and so does a: the newer claim is believed");
    bench.probe(a, good(Role::replica));
    EXPECT_FALSE(bench.health().role_conflict());
    EXPECT_EQ(bench.count(EventKind::conflict_ended), 1);
    EXPECT_TRUE(bench.available(a, Role::replica));
}

TEST(UpstreamHealthRole, of_two_primaries_the_newest_claimant_is_believed) {
    Bench bench(database(), both);
    const MemberId a = bench.add("a");
    const MemberId b = bench.add("b");
    bench.probe(a, good(Role::primary));
    bench.probe(b, good(Role::replica));
    bench.forget();
    bench.probe(b, good(Role::primary));
    bench.probe(a, good(Role::primary), 10);
    EXPECT_TRUE(bench.available(b, Role::primary));
    EXPECT_FALSE(bench.available(a, Role::primary));
    EXPECT_FALSE(bench.available(a, Role::replica)) << "it is in no role";
    EXPECT_TRUE(bench.available(a)) << "but usable for those who ask for none";
    EXPECT_EQ(bench.count(EventKind::role_conflict), 1);
    EXPECT_TRUE(bench.done.end.size() == 2 && bench.done.end[0].asked == Role::primary);
    bench.forget();
    bench.remove(b);
    EXPECT_TRUE(bench.available(a, Role::primary));
    EXPECT_EQ(bench.count(EventKind::conflict_ended), 1);
    ASSERT_EQ(bench.done.keep.size(), 1U);
    EXPECT_EQ(bench.done.keep[0].second, EndCause::role_changed);
}

TEST(UpstreamHealthRole, on_role_change_keep_ends_no_session) {
    Bench bench(database(config::OnRoleChange::keep), both);
    const MemberId a = bench.add("a");
    bench.probe(a, good(Role::primary));
    bench.probe(a, good(Role::replica));
    EXPECT_TRUE(bench.done.end.empty());
}

TEST(UpstreamHealthRole, maintenance_frees_the_role_and_kills_nobody) {
    Bench bench(database(), both);
    const MemberId a = bench.add("a");
    const MemberId b = bench.add("b");
    bench.probe(a, good(Role::primary));
    bench.probe(b, good(Role::primary));
    bench.forget();
    bench.set_state(b, config::BackendState::maintenance);
    EXPECT_TRUE(bench.available(a, Role::primary));
    EXPECT_FALSE(bench.health().role_conflict());
    ASSERT_EQ(bench.done.end.size(), 1U);
    EXPECT_EQ(bench.done.end[0].cause, EndCause::removed) << "drained, as the operator wants";
    EXPECT_FALSE(bench.done.end[0].at_once);
}

TEST(UpstreamHealthRole, nobody_available_is_told_for_the_roles_that_are_asked_for) {
    Bench silent(database(), {});
    silent.probe(silent.add("a"), good(Role::replica));
    EXPECT_EQ(silent.count(EventKind::none_available), 0);
    Bench bench(database(), both);
    bench.probe(bench.add("a"), good(Role::replica));
    EXPECT_EQ(bench.count(EventKind::none_available), 1);
    bench.probe(bench.add("b"), good(Role::primary));
    EXPECT_EQ(bench.text(EventKind::available_again),
              " has a backend again for clients that ask for a primary");
}

}  // namespace
}  // namespace penstock::health
