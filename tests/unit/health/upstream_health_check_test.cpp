// Checks, on_backend_down, slow start and stalls, as UpstreamHealth sees them.
#include "health/upstream_health.hpp"

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using config::CheckInitial;
using config::OnBackendDown;
using testing::bad;
using testing::Bench;
using testing::checked;
using testing::good;
using testing::noon;

TEST(UpstreamHealthCheck, pending_until_the_first_result_which_decides_alone) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    const MemberId b = bench.add("b");
    EXPECT_FALSE(bench.health().settled());
    EXPECT_FALSE(bench.available(a));
    EXPECT_FALSE(bench.health().status(a).settled);
    EXPECT_EQ(bench.count(EventKind::none_available), 0) << "not known yet";
    bench.forget();
    bench.probe(a, good());
    EXPECT_TRUE(bench.available(a));
    EXPECT_TRUE(bench.done.publish);
    EXPECT_EQ(bench.text(EventKind::check_up), "a is up: its first check succeeded");
    bench.probe(b, bad());
    EXPECT_FALSE(bench.available(b));
    EXPECT_TRUE(bench.health().settled());
    EXPECT_EQ(bench.text(EventKind::check_down),
              "b is down: its first check failed: connection refused");
    EXPECT_TRUE(bench.done.slow_starts.empty());
}

TEST(UpstreamHealthCheck, initial_up_and_down_need_no_result) {
    for (const bool up : {true, false}) {
        config::Upstream settings = checked();
        settings.health_check.initial = up ? CheckInitial::up : CheckInitial::down;
        Bench bench(settings);
        const MemberId a = bench.add("a");
        EXPECT_TRUE(bench.health().settled());
        EXPECT_EQ(bench.available(a), up);
        EXPECT_EQ(bench.count(EventKind::none_available), up ? 0 : 1);
        bench.probe(a, up ? bad() : good());
        EXPECT_EQ(bench.available(a), up) << "the thresholds apply";
        bench.probe(a, up ? bad() : good(), up ? 2 : 1);
        EXPECT_EQ(bench.available(a), !up);
        EXPECT_TRUE(bench.done.slow_starts.empty()) << "it was not seen down";
    }
}

TEST(UpstreamHealthCheck, falls_and_rises_by_the_thresholds) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    bench.forget();
    bench.probe(a, bad(), 2);
    bench.probe(a, good());
    bench.probe(a, bad(), 2);
    EXPECT_TRUE(bench.available(a));
    EXPECT_FALSE(bench.done.publish);
    EXPECT_TRUE(bench.done.events.empty());
    bench.now += 5s;
    bench.probe(a, bad("HTTP 503"));
    EXPECT_FALSE(bench.available(a));
    EXPECT_TRUE(bench.done.publish);
    EXPECT_EQ(bench.text(EventKind::check_down), "a is down: 3 checks in a row failed: HTTP 503");
    EXPECT_EQ(bench.text(EventKind::none_available), " has no backend available");
    EXPECT_EQ(bench.health().status(a).since, noon + 5s);
    EXPECT_EQ(bench.health().status(a).last_check, "HTTP 503");
    bench.forget();
    bench.probe(a, good());
    EXPECT_FALSE(bench.available(a));
    bench.probe(a, good());
    EXPECT_TRUE(bench.available(a));
    EXPECT_EQ(bench.text(EventKind::check_up), "a is up: 2 checks in a row succeeded");
    EXPECT_EQ(bench.text(EventKind::available_again), " has a backend again");
}

TEST(UpstreamHealthCheck, next_checks_follow_the_verdict) {
    config::Upstream settings = checked();
    settings.health_check.jitter = 0;
    Bench bench(settings);
    const MemberId a = bench.add("a");
    EXPECT_EQ(bench.health().next_probe(a), noon) << "somebody waits for it";
    bench.health().on_probe_started(a, bench.now);
    EXPECT_EQ(bench.health().next_probe(a), no_deadline);
    bench.health().on_probe(a, good(), bench.now);
    EXPECT_LE(bench.health().next_probe(a), noon + 2s);
    bench.probe(a, good());
    EXPECT_EQ(bench.health().next_probe(a), noon + 2s);
    bench.probe(a, bad());
    EXPECT_EQ(bench.health().next_probe(a), noon + 500ms);
    bench.probe(a, bad(), 2);
    EXPECT_LE(bench.health().next_probe(a), noon + 1s);
    bench.probe(a, good());
    EXPECT_EQ(bench.health().next_probe(a), noon + 500ms);
}

TEST(UpstreamHealthCheck, without_checks_everybody_is_up) {
    Bench bench(testing::unchecked());
    const MemberId a = bench.add("a");
    EXPECT_TRUE(bench.available(a));
    EXPECT_TRUE(bench.health().settled());
    EXPECT_TRUE(bench.health().status(a).up);
    EXPECT_TRUE(bench.health().status(a).settled);
    EXPECT_EQ(bench.health().next_probe(a), no_deadline);
    bench.probe(a, bad(), 10);
    EXPECT_TRUE(bench.available(a));
}

TEST(UpstreamHealthCheck, results_for_nobody_are_ignored) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    bench.health().on_probe(a, bad(), bench.now);
    EXPECT_FALSE(bench.health().settled()) << "no check was running";
    bench.health().on_probe_started(a, bench.now);
    bench.remove(a);
    bench.forget();
    bench.health().on_probe(a, bad(), bench.now);
    bench.health().on_outcomes(a, {}, bench.now);
    bench.health().set_weight(a, 5, bench.now);
    bench.health().set_state(a, config::BackendState::drain, bench.now);
    bench.health().remove(a, bench.now);
    bench.take();
    EXPECT_TRUE(bench.done.events.empty());
    EXPECT_FALSE(bench.available(a));
    EXPECT_EQ(bench.health().next_probe(a), no_deadline);
}

TEST(UpstreamHealthCheck, recovered_and_fresh_ones_start_slowly_those_of_the_first_load_do_not) {
    Bench bench(checked());
    const MemberId first = bench.add("first");
    const MemberId fresh = bench.add("fresh", {.fresh = true});
    const MemberId broken = bench.add("broken", {.fresh = true});
    EXPECT_TRUE(bench.done.slow_starts.empty()) << "not before they are up";
    bench.probe(first, good());
    EXPECT_TRUE(bench.done.slow_starts.empty());
    bench.probe(fresh, good());
    ASSERT_EQ(bench.done.slow_starts.size(), 1U);
    EXPECT_EQ(bench.done.slow_starts[0], bench.share(fresh));
    bench.forget();
    bench.probe(broken, bad());
    bench.probe(broken, good(), 2);
    EXPECT_EQ(bench.done.slow_starts.size(), 1U);
    bench.forget();
    bench.probe(first, bad(), 2);
    bench.probe(first, good(), 3);
    EXPECT_TRUE(bench.done.slow_starts.empty()) << "it was not down";
    bench.probe(first, bad(), 3);
    bench.probe(first, good(), 2);
    EXPECT_EQ(bench.done.slow_starts.size(), 1U);
}

TEST(UpstreamHealthCheck, without_checks_a_fresh_one_starts_slowly_at_once) {
    Bench bench(testing::unchecked());
    bench.add("first");
    EXPECT_TRUE(bench.done.slow_starts.empty());
    bench.add("fresh", {.fresh = true});
    EXPECT_EQ(bench.done.slow_starts.size(), 1U);
}

config::Upstream ending(OnBackendDown what, Duration grace) {
    config::Upstream settings = checked();
    settings.on_backend_down = what;
    settings.down_grace = grace;
    return settings;
}

TEST(UpstreamHealthCheck, B14_keep_ends_no_session) {
    Bench bench(ending(OnBackendDown::keep, 0s));
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    bench.probe(a, bad(), 3);
    EXPECT_TRUE(bench.done.end.empty());
    EXPECT_EQ(bench.health().next_timer(), no_deadline);
}

TEST(UpstreamHealthCheck, B14_drain_and_kill_apply_after_the_grace_and_are_taken_back) {
    for (const auto what : {OnBackendDown::drain, OnBackendDown::kill}) {
        Bench bench(ending(what, 10s));
        const MemberId a = bench.add("a");
        bench.probe(a, good());
        bench.probe(a, bad(), 3);
        EXPECT_EQ(bench.health().next_timer(), noon + 10s);
        bench.advance(9999ms);
        EXPECT_TRUE(bench.done.end.empty());
        bench.advance();
        ASSERT_EQ(bench.done.end.size(), 1U);
        EXPECT_EQ(bench.done.end[0].backend, bench.share(a));
        EXPECT_EQ(bench.done.end[0].cause, EndCause::down);
        EXPECT_EQ(bench.done.end[0].asked, Role::none);
        EXPECT_EQ(bench.done.end[0].at_once, what == OnBackendDown::kill);
        EXPECT_EQ(bench.text(EventKind::sessions_ended), what == OnBackendDown::kill
                                                             ? "a loses its sessions: it is down"
                                                             : "a drains its sessions: it is down");
        EXPECT_EQ(bench.health().next_timer(), no_deadline);
        bench.forget();
        bench.probe(a, good(), 2);
        ASSERT_EQ(bench.done.keep.size(), 1U);
        EXPECT_EQ(bench.done.keep[0].first, bench.share(a));
        EXPECT_EQ(bench.done.keep[0].second, EndCause::down);
    }
}

TEST(UpstreamHealthCheck, B14_a_blip_shorter_than_the_grace_ends_nothing) {
    Bench bench(ending(OnBackendDown::kill, 10s));
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    for (int n = 0; n < 5; ++n) {
        bench.probe(a, bad(), 3);
        bench.advance(9s);
        bench.probe(a, good(), 2);
        bench.advance(9s);
    }
    EXPECT_TRUE(bench.done.end.empty());
    EXPECT_TRUE(bench.done.keep.empty());
}

TEST(UpstreamHealthCheck, B14_without_grace_at_once_and_never_for_ever) {
    Bench bench(ending(OnBackendDown::kill, 0s));
    const MemberId a = bench.add("a");
    bench.probe(a, bad());
    EXPECT_EQ(bench.done.end.size(), 1U);
    Bench patient(ending(OnBackendDown::kill, never));
    const MemberId b = patient.add("b");
    patient.probe(b, bad());
    EXPECT_EQ(patient.health().next_timer(), no_deadline);
}

TEST(UpstreamHealthCheck, B14_on_backend_down_does_not_look_at_the_breaker) {
    Bench bench(ending(OnBackendDown::kill, 0s));
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    bench.connect(a, false, 5);
    EXPECT_EQ(bench.circuit(a), balancer::CircuitState::open);
    EXPECT_TRUE(bench.done.end.empty());
}

TEST(UpstreamHealthCheck, R10_checks_that_a_stall_disturbs_are_excused) {
    Bench bench(checked());
    std::vector<MemberId> all;
    for (int n = 0; n < 50; ++n) {
        all.push_back(bench.add("a" + std::to_string(n)));
        bench.probe(all.back(), good());
    }
    for (int round = 0; round < 10; ++round) {
        for (const MemberId id : all) bench.health().on_probe_started(id, bench.now);
        bench.now += 5s;
        bench.health().on_stall(5s, bench.now);
        for (const MemberId id : all) {
            bench.health().on_probe(id, bad("time-out"), bench.now);
            EXPECT_GE(bench.health().next_probe(id), bench.now);
        }
    }
    bench.take();
    for (const MemberId id : all) EXPECT_TRUE(bench.available(id));
    // What they say after it counts.
    for (const MemberId id : all) bench.probe(id, bad(), 3);
    for (const MemberId id : all) EXPECT_FALSE(bench.available(id));
}

TEST(UpstreamHealthCheck, R10_a_thread_that_is_always_late_still_finds_dead_backends) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    for (int round = 0; round < 6; ++round) {
        bench.health().on_probe_started(a, bench.now);
        bench.now += 200ms;
        bench.health().on_stall(150ms, bench.now);
        bench.health().on_probe(a, bad(), bench.now);
    }
    bench.take();
    EXPECT_FALSE(bench.available(a));
}

TEST(UpstreamHealthCheck, R10_a_good_check_counts_whatever_stood_still) {
    Bench bench(checked());
    const MemberId a = bench.add("a");
    bench.health().on_probe_started(a, bench.now);
    bench.health().on_stall(5s, bench.now);
    bench.health().on_probe(a, good(), bench.now);
    EXPECT_TRUE(bench.available(a));
}

TEST(UpstreamHealthCheck, R10_the_grace_does_not_run_while_the_thread_stands_still) {
    Bench bench(ending(OnBackendDown::kill, 10s));
    const MemberId a = bench.add("a");
    bench.probe(a, good());
    bench.probe(a, bad(), 3);
    bench.now += 60s;
    bench.health().on_stall(60s, bench.now);
    bench.advance(0s);
    EXPECT_TRUE(bench.done.end.empty());
    bench.probe(a, good(), 2);
    bench.advance(1h);
    EXPECT_TRUE(bench.done.end.empty());
}

}  // namespace
}  // namespace penstock::health
