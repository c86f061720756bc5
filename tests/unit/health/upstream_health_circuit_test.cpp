// Circuits, max_open_share and panic, as UpstreamHealth sees them.
#include "health/upstream_health.hpp"

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using balancer::CircuitState;
using testing::bad;
using testing::Bench;
using testing::checked;
using testing::good;
using testing::noon;
using testing::unchecked;

TEST(UpstreamHealthCircuit, opens_tries_and_closes) {
    Bench bench(unchecked());
    const MemberId a = bench.add("a");
    bench.add("b");
    bench.forget();
    bench.connect(a, false, 5);
    EXPECT_EQ(bench.circuit(a), CircuitState::open);
    EXPECT_FALSE(bench.available(a));
    EXPECT_TRUE(bench.done.publish);
    ASSERT_EQ(bench.done.turns.size(), 1U);
    EXPECT_EQ(bench.done.turns[0].backend, bench.share(a));
    EXPECT_TRUE(bench.text(EventKind::circuit_opened).starts_with("a is cut off for 10"))
        << bench.text(EventKind::circuit_opened);
    EXPECT_TRUE(bench.text(EventKind::circuit_opened).ends_with(": 5 connections in a row failed"));
    bench.forget();
    bench.advance();
    EXPECT_EQ(bench.circuit(a), CircuitState::half_open);
    EXPECT_TRUE(bench.available(a));
    EXPECT_TRUE(bench.done.publish);
    EXPECT_EQ(bench.done.turns.at(0).trials, 1U);
    EXPECT_EQ(bench.text(EventKind::circuit_half_open), "a is tried out with 1 connection");
    EXPECT_TRUE(bench.done.slow_starts.empty());
    bench.forget();
    bench.connect(a, true);
    EXPECT_EQ(bench.circuit(a), CircuitState::closed);
    EXPECT_EQ(bench.count(EventKind::circuit_closed), 1);
    ASSERT_EQ(bench.done.slow_starts.size(), 1U);
    EXPECT_EQ(bench.done.slow_starts[0], bench.share(a));
    EXPECT_EQ(bench.health().next_timer(), no_deadline);
}

TEST(UpstreamHealthCircuit, a_failed_trial_opens_it_for_longer) {
    Bench bench(unchecked());
    const MemberId a = bench.add("a");
    bench.connect(a, false, 5);
    bench.advance();
    const TimePoint tried = bench.now;
    bench.connect(a, false);
    EXPECT_EQ(bench.circuit(a), CircuitState::open);
    EXPECT_GE(bench.health().next_timer() - tried, 20s);
    EXPECT_EQ(bench.count(EventKind::circuit_opened), 2);
}

TEST(UpstreamHealthCircuit, permits_of_lost_trials_come_back_by_a_new_generation) {
    Bench bench(unchecked());
    const MemberId a = bench.add("a");
    bench.connect(a, false, 5);
    bench.advance();
    auto& outcomes = bench.backend_of(a).outcomes();
    const auto lost = outcomes.circuit().try_pass();
    ASSERT_TRUE(lost);
    EXPECT_FALSE(outcomes.circuit().try_pass());
    bench.report(a);
    EXPECT_EQ(bench.health().next_timer(), bench.now + 4s + 12s);
    bench.forget();
    bench.advance();
    EXPECT_EQ(bench.circuit(a), CircuitState::half_open);
    EXPECT_TRUE(bench.done.events.empty()) << "no news";
    EXPECT_FALSE(bench.done.publish);
    EXPECT_FALSE(outcomes.failed(*lost, balancer::Failure::timeout)) << "too late";
    bench.connect(a, true);
    EXPECT_EQ(bench.circuit(a), CircuitState::closed);
}

TEST(UpstreamHealthCircuit, half_open_without_clients_keeps_its_timer) {
    Bench bench(unchecked());
    const MemberId a = bench.add("a");
    bench.connect(a, false, 5);
    bench.advance();
    for (int n = 0; n < 20; ++n) {
        ASSERT_NE(bench.health().next_timer(), no_deadline);
        bench.advance();
        ASSERT_EQ(bench.circuit(a), CircuitState::half_open);
        ASSERT_TRUE(bench.backend_of(a).circuit().passable());
    }
    EXPECT_EQ(bench.count(EventKind::circuit_half_open), 1);
}

TEST(UpstreamHealthCircuit, a_good_check_does_not_close_it) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    bench.connect(a, false, 5);
    bench.probe(a, good(), 5);
    EXPECT_EQ(bench.circuit(a), CircuitState::open);
    EXPECT_FALSE(bench.available(a));
    EXPECT_TRUE(bench.health().status(a).up);
}

TEST(UpstreamHealthCircuit, never_more_open_than_max_open_share) {
    Bench bench(unchecked());
    std::vector<MemberId> all;
    for (const char* name : {"a", "b", "c", "d", "e"}) all.push_back(bench.add(name));
    bench.connect(all[0], false, 5);
    bench.connect(all[1], false, 5);
    EXPECT_EQ(bench.count(EventKind::circuit_opened), 2);
    bench.connect(all[2], false, 9);
    EXPECT_EQ(bench.circuit(all[2]), CircuitState::closed) << "half of 5 are 2";
    EXPECT_EQ(bench.count(EventKind::circuit_kept_closed), 1) << "once for one attempt";
    EXPECT_EQ(bench.text(EventKind::circuit_kept_closed),
              "c is not cut off, since 2 of 5 backends are already (max_open_share): 5 "
              "connections in a row failed");
    bench.connect(all[2], true);
    bench.connect(all[2], false, 5);
    EXPECT_EQ(bench.count(EventKind::circuit_kept_closed), 2) << "another attempt";
    // Half-open ones count, until they close.
    bench.advance();
    bench.advance();
    ASSERT_EQ(bench.circuit(all[0]), CircuitState::half_open);
    ASSERT_EQ(bench.circuit(all[1]), CircuitState::half_open);
    bench.connect(all[2], false);
    EXPECT_EQ(bench.circuit(all[2]), CircuitState::closed);
    bench.connect(all[0], true);
    bench.report(all[2]);
    EXPECT_EQ(bench.circuit(all[2]), CircuitState::closed) << "not without a new failure";
    bench.connect(all[2], false);
    EXPECT_EQ(bench.circuit(all[2]), CircuitState::open);
    // A failed trial opens its circuit although the share is used up.
    bench.connect(all[1], false);
    EXPECT_EQ(bench.circuit(all[1]), CircuitState::open);
}

TEST(UpstreamHealthCircuit, share_counts_ready_ones_with_weight_and_at_least_one_may_open) {
    struct Case {
        double share;
        int members;
        int may_open;
    };
    for (const auto& [share, members, may_open] :
         {Case{0.5, 1, 1}, Case{0.5, 3, 1}, Case{0.5, 4, 2}, Case{0, 4, 1}, Case{1, 4, 4},
          Case{0.29, 100, 29}, Case{0.07, 100, 7}}) {
        config::Upstream settings = unchecked();
        settings.circuit_breaker.max_open_share = share;
        Bench bench(settings);
        bench.add("drained", {.state = config::BackendState::drain});
        bench.add("weightless", {.weight = 0});
        std::vector<MemberId> all;
        for (int n = 0; n < members; ++n) all.push_back(bench.add("a" + std::to_string(n)));
        for (const MemberId id : all) bench.connect(id, false, 5);
        EXPECT_EQ(bench.count(EventKind::circuit_opened), may_open) << share << ' ' << members;
        EXPECT_EQ(bench.count(EventKind::circuit_kept_closed), members - may_open);
    }
}

TEST(UpstreamHealthCircuit, a_removed_member_leaves_room_and_needs_no_turns) {
    Bench bench(unchecked());
    const MemberId a = bench.add("a");
    const MemberId b = bench.add("b");
    bench.connect(a, false, 5);
    bench.connect(b, false, 5);
    EXPECT_EQ(bench.circuit(b), CircuitState::closed);
    bench.forget();
    bench.remove(a);
    EXPECT_EQ(bench.health().next_timer(), no_deadline);
    EXPECT_TRUE(bench.done.turns.empty());
    bench.connect(b, false);
    EXPECT_EQ(bench.circuit(b), CircuitState::open);
}

TEST(UpstreamHealthCircuit, a_backend_that_comes_back_has_its_circuit_closed) {
    Bench bench(unchecked());
    const MemberId a = bench.add("a");
    bench.connect(a, false, 5);
    const auto shared = bench.share(a);
    bench.remove(a);
    bench.forget();
    const MemberId again = bench.add("a", {.backend = shared, .fresh = true});
    EXPECT_EQ(shared->circuit().state(), CircuitState::closed);
    EXPECT_TRUE(bench.available(again));
    ASSERT_EQ(bench.done.keep.size(), 1U);
    EXPECT_EQ(bench.done.keep[0].second, EndCause::removed);
    bench.connect(again, false, 4);
    EXPECT_EQ(bench.circuit(again), CircuitState::closed) << "old failures do not count";
    bench.connect(again, false, 1);
    EXPECT_EQ(bench.circuit(again), CircuitState::open);
    EXPECT_EQ(bench.count(EventKind::circuit_opened), 1);
}

TEST(UpstreamHealthCircuit, dry_run_turns_nothing) {
    config::Upstream settings = unchecked();
    settings.circuit_breaker.dry_run = true;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    bench.forget();
    bench.connect(a, false, 100);
    EXPECT_EQ(bench.circuit(a), CircuitState::closed);
    EXPECT_TRUE(bench.available(a));
    EXPECT_FALSE(bench.done.publish);
    EXPECT_TRUE(bench.done.turns.empty());
    EXPECT_EQ(bench.count(EventKind::circuit_would_open), 1);
    EXPECT_EQ(bench.health().next_timer(), no_deadline);
}

TEST(UpstreamHealthCircuit, switched_off_it_wants_no_outcomes) {
    config::Upstream settings = unchecked();
    EXPECT_EQ(Bench(settings).health().outcome_interval(), 1s);
    settings.circuit_breaker.window = 1s;
    EXPECT_EQ(Bench(settings).health().outcome_interval(), 100ms);
    settings.circuit_breaker.enabled = false;
    Bench bench(settings);
    EXPECT_EQ(bench.health().outcome_interval(), never);
    const MemberId a = bench.add("a");
    bench.connect(a, false, 100);
    EXPECT_EQ(bench.circuit(a), CircuitState::closed);
}

TEST(UpstreamHealthCircuit, panic_uses_the_failing_ones_and_is_told_once) {
    config::Upstream settings = checked();
    settings.panic_threshold = 0.5;
    Bench bench(settings);
    std::vector<MemberId> all;
    for (const char* name : {"a", "b", "c", "d"}) {
        all.push_back(bench.add(name));
        bench.probe(all.back(), good());
    }
    bench.probe(all[0], bad(), 3);
    bench.connect(all[1], false, 5);
    EXPECT_FALSE(bench.health().in_panic(Role::none)) << "2 of 4 are not below a half";
    bench.forget();
    bench.probe(all[2], bad(), 3);
    EXPECT_TRUE(bench.health().in_panic(Role::none));
    EXPECT_EQ(bench.text(EventKind::panic_began),
              " panics in tier 0: 1 of 4 backends healthy, less than 50 %: the failing ones are "
              "used as well");
    EXPECT_TRUE(bench.done.publish);
    for (const MemberId id : all) EXPECT_TRUE(bench.available(id));
    EXPECT_TRUE(bench.forced(all[0]));
    EXPECT_TRUE(bench.forced(all[1])) << "up, but its circuit is open";
    EXPECT_TRUE(bench.forced(all[2]));
    EXPECT_FALSE(bench.forced(all[3]));
    bench.probe(all[3], bad(), 3);
    EXPECT_EQ(bench.count(EventKind::panic_began), 1);
    EXPECT_EQ(bench.count(EventKind::none_available), 0) << "they are used all the same";
    bench.forget();
    bench.probe(all[3], good(), 2);
    bench.probe(all[2], good(), 2);
    EXPECT_EQ(bench.text(EventKind::panic_ended),
              " no longer panics in tier 0: 2 of 4 backends healthy");
    EXPECT_FALSE(bench.forced(all[1]));
    EXPECT_FALSE(bench.available(all[1]));
}

TEST(UpstreamHealthCircuit, a_lone_backend_that_is_half_open_does_not_turn_clients_away) {
    config::Upstream settings = unchecked();
    settings.panic_threshold = 0.5;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    bench.connect(a, false, 5);
    EXPECT_TRUE(bench.forced(a));
    bench.advance();
    EXPECT_EQ(bench.circuit(a), CircuitState::half_open);
    EXPECT_TRUE(bench.forced(a));
    bench.connect(a, true);
    EXPECT_FALSE(bench.forced(a));
    EXPECT_TRUE(bench.available(a));
}

TEST(UpstreamHealthCircuit, pending_ones_are_never_forced_and_make_no_noise) {
    config::Upstream settings = checked();
    settings.panic_threshold = 0.5;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    const MemberId b = bench.add("b");
    EXPECT_FALSE(bench.health().in_panic(Role::none));
    EXPECT_FALSE(bench.available(a));
    EXPECT_TRUE(bench.done.events.empty());
    bench.probe(a, bad());
    EXPECT_TRUE(bench.health().in_panic(Role::none));
    EXPECT_TRUE(bench.forced(a));
    EXPECT_FALSE(bench.available(b));
    bench.probe(b, good());
    EXPECT_FALSE(bench.health().in_panic(Role::none));
}

TEST(UpstreamHealthCircuit, K2_works_late_on_the_time_line) {
    for (const TimePoint start : testing::odd_times) {
        Bench bench(unchecked());
        bench.now = start;
        const MemberId a = bench.add("a");
        bench.connect(a, false, 5);
        EXPECT_GE(bench.health().next_timer(), start + 10s);
        EXPECT_LE(bench.health().next_timer(), start + 11s);
        bench.advance();
        bench.connect(a, true);
        EXPECT_EQ(bench.circuit(a), CircuitState::closed);
    }
}

}  // namespace
}  // namespace penstock::health
