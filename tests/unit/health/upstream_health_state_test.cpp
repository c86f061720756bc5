// Members that come and go, administrative states and weights, as UpstreamHealth sees them.
#include "health/upstream_health.hpp"

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using config::BackendState;
using testing::bad;
using testing::Bench;
using testing::checked;
using testing::good;

TEST(UpstreamHealthState, removal_drains_once) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    bench.forget();
    const auto shared = bench.share(a);
    bench.remove(a);
    ASSERT_EQ(bench.done.end.size(), 1U);
    EXPECT_EQ(bench.done.end[0].backend, shared);
    EXPECT_EQ(bench.done.end[0].cause, EndCause::removed);
    EXPECT_FALSE(bench.done.end[0].at_once);
    EXPECT_TRUE(bench.done.publish);
    EXPECT_EQ(bench.text(EventKind::sessions_ended), "a drains its sessions: it was removed");
    EXPECT_EQ(bench.count(EventKind::none_available), 1);
    bench.remove(a);
    EXPECT_EQ(bench.done.end.size(), 1U);
}

TEST(UpstreamHealthState, removal_while_down_is_the_same) {
    config::Upstream settings = checked();
    settings.on_backend_down = config::OnBackendDown::kill;
    settings.down_grace = 10s;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    bench.probe(a, bad());
    bench.remove(a);
    ASSERT_EQ(bench.done.end.size(), 1U);
    EXPECT_EQ(bench.done.end[0].cause, EndCause::removed);
    EXPECT_EQ(bench.health().next_timer(), no_deadline);
}

TEST(UpstreamHealthState, drain_keeps_checks_and_is_taken_back) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    bench.forget();
    bench.set_state(a, BackendState::drain);
    EXPECT_FALSE(bench.available(a));
    EXPECT_TRUE(bench.done.publish);
    ASSERT_EQ(bench.done.end.size(), 1U);
    EXPECT_EQ(bench.done.end[0].cause, EndCause::removed);
    EXPECT_FALSE(bench.done.end[0].at_once);
    EXPECT_NE(bench.health().next_probe(a), no_deadline);
    bench.probe(a, bad(), 3);
    EXPECT_FALSE(bench.health().status(a).up);
    bench.probe(a, good(), 2);
    bench.forget();
    bench.set_state(a, BackendState::ready);
    EXPECT_TRUE(bench.available(a));
    ASSERT_EQ(bench.done.keep.size(), 1U);
    EXPECT_EQ(bench.done.keep[0].second, EndCause::removed);
}

TEST(UpstreamHealthState, maintenance_stops_checks_and_resumes_pending) {
    config::Upstream settings = checked();
    settings.health_check.initial = config::CheckInitial::up;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    bench.health().on_probe_started(a, bench.now);
    bench.set_state(a, BackendState::maintenance);
    EXPECT_EQ(bench.health().next_probe(a), no_deadline);
    EXPECT_TRUE(bench.health().settled());
    bench.health().on_probe(a, bad(), bench.now);
    bench.health().on_probe_started(a, bench.now);
    bench.health().on_probe(a, bad(), bench.now);
    bench.forget();
    bench.set_state(a, BackendState::ready);
    EXPECT_FALSE(bench.health().settled());
    EXPECT_FALSE(bench.available(a)) << "not before a check says so";
    EXPECT_EQ(bench.health().next_probe(a), bench.now);
    bench.probe(a, good());
    EXPECT_TRUE(bench.available(a));
    EXPECT_EQ(bench.done.slow_starts.size(), 1U) << "it comes back as cold as a new one";
}

TEST(UpstreamHealthState, from_drain_to_maintenance_sessions_are_asked_to_end_once) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    bench.set_state(a, BackendState::drain);
    bench.set_state(a, BackendState::maintenance);
    bench.remove(a);
    EXPECT_EQ(bench.done.end.size(), 1U);
}

TEST(UpstreamHealthState, maintenance_ends_the_grace) {
    config::Upstream settings = checked();
    settings.on_backend_down = config::OnBackendDown::kill;
    settings.down_grace = 10s;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    bench.probe(a, bad());
    bench.set_state(a, BackendState::maintenance);
    EXPECT_EQ(bench.health().next_timer(), no_deadline);
    bench.advance(1min);
    ASSERT_EQ(bench.done.end.size(), 1U);
    EXPECT_EQ(bench.done.end[0].cause, EndCause::removed);
}

TEST(UpstreamHealthState, without_checks_maintenance_only_takes_it_out) {
    Bench bench(testing::unchecked());
    const MemberId a = bench.add("a");
    bench.set_state(a, BackendState::maintenance);
    EXPECT_FALSE(bench.available(a));
    EXPECT_TRUE(bench.health().settled());
    bench.set_state(a, BackendState::ready);
    EXPECT_TRUE(bench.available(a));
    EXPECT_EQ(bench.done.slow_starts.size(), 1U);
}

TEST(UpstreamHealthState, may_arrive_in_any_state) {
    Bench bench(checked());
    const MemberId drained = bench.add("a", {.state = BackendState::drain});
    const MemberId out = bench.add("b", {.state = BackendState::maintenance});
    EXPECT_FALSE(bench.health().settled()) << "one in drain is checked";
    EXPECT_EQ(bench.health().next_probe(out), no_deadline);
    bench.probe(drained, good());
    EXPECT_TRUE(bench.health().settled());
    EXPECT_FALSE(bench.health().any_available(Role::none));
    EXPECT_TRUE(bench.done.end.empty());
    bench.set_state(out, BackendState::ready);
    bench.probe(out, good());
    EXPECT_TRUE(bench.available(out));
}

TEST(UpstreamHealthState, weight_zero_gets_nobody_and_counts_nowhere) {
    config::Upstream settings = checked();
    settings.panic_threshold = 0.5;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    const MemberId b = bench.add("b");
    bench.probe(a, good());
    bench.probe(b, bad());
    bench.forget();
    bench.health().set_weight(a, 0, bench.now);
    bench.take();
    EXPECT_TRUE(bench.done.publish);
    EXPECT_FALSE(bench.available(a));
    EXPECT_TRUE(bench.forced(b)) << "0 of 1";
    EXPECT_TRUE(bench.done.end.empty());
    bench.health().set_weight(a, 7, bench.now);
    bench.take();
    EXPECT_TRUE(bench.available(a));
    EXPECT_FALSE(bench.available(b));
    bench.forget();
    bench.health().set_weight(a, 7, bench.now);
    bench.take();
    EXPECT_FALSE(bench.done.publish);
}

TEST(UpstreamHealthState, a_tier_panics_by_its_own_members) {
    config::Upstream settings = checked();
    settings.panic_threshold = 0.5;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    const MemberId b = bench.add("b");
    const MemberId c = bench.add("c");
    const MemberId back_up = bench.add("d", {.tier = 1});
    bench.probe(a, good());
    bench.probe(b, bad());
    bench.probe(c, bad());
    bench.probe(back_up, good());
    EXPECT_TRUE(bench.forced(b));
    EXPECT_FALSE(bench.forced(back_up));
    bench.forget();
    bench.health().set_tier(b, 1, bench.now);
    bench.take();
    EXPECT_FALSE(bench.available(b));
    EXPECT_TRUE(bench.done.publish);
    EXPECT_EQ(bench.count(EventKind::panic_ended), 1);
}

TEST(UpstreamHealthState, a_back_up_comes_before_panic) {
    config::Upstream settings = checked();
    settings.panic_threshold = 0.5;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    const MemberId back_up = bench.add("b", {.tier = 1});
    bench.probe(a, bad());
    bench.probe(back_up, good());
    EXPECT_FALSE(bench.available(a));
    EXPECT_TRUE(bench.available(back_up));
    for (std::uint32_t i = 0; i < settings.health_check.fall; ++i) bench.probe(back_up, bad());
    EXPECT_TRUE(bench.forced(a));
    EXPECT_TRUE(bench.forced(back_up));
}

TEST(UpstreamHealthState, an_upstream_without_backends_says_so) {
    Bench bench(checked());
    bench.take();
    EXPECT_EQ(bench.count(EventKind::none_available), 1);
    EXPECT_TRUE(bench.health().settled());
}

TEST(UpstreamHealthState, quiet_results_ask_for_nothing) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    for (int n = 0; n < 5; ++n) {
        bench.forget();
        bench.probe(a, good());
        EXPECT_FALSE(bench.done.publish);
        EXPECT_TRUE(bench.done.events.empty());
    }
}

}  // namespace
}  // namespace penstock::health
