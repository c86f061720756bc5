// Verdicts when the settings change.
#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using balancer::CircuitState;
using config::BackendState;
using testing::bad;
using testing::Bench;
using testing::checked;
using testing::good;
using testing::unchecked;

config::Upstream quick(config::Upstream settings) {
    settings.health_check.rise = 1;
    settings.health_check.fall = 1;
    return settings;
}

TEST(HealthChange, a_check_that_is_new_begins_with_up_and_has_the_last_word) {
    Bench bench(unchecked());
    const auto a = bench.add("a");
    ASSERT_EQ(bench.health().next_probe(a), no_deadline);
    bench.configure(checked());
    EXPECT_TRUE(bench.available(a)) << "it was well so far";
    EXPECT_TRUE(bench.health().settled());
    EXPECT_NE(bench.health().next_probe(a), no_deadline);
    bench.probe(a, bad(), 2);
    EXPECT_TRUE(bench.available(a));
    bench.probe(a, bad());
    EXPECT_FALSE(bench.available(a)) << "fall = 3";
    EXPECT_EQ(bench.count(EventKind::check_down), 1);
}

TEST(HealthChange, without_a_check_nobody_is_down_any_more) {
    auto settings = quick(checked());
    settings.on_backend_down = config::OnBackendDown::kill;
    Bench bench(settings);
    const auto a = bench.add("a");
    const auto waiting = bench.add("b");  // never checked
    bench.probe(a, good());
    bench.probe(a, bad());
    ASSERT_FALSE(bench.available(a));
    ASSERT_FALSE(bench.available(waiting));
    bench.forget();
    auto without = unchecked();
    bench.configure(without);
    for (const auto id : {a, waiting}) {
        EXPECT_TRUE(bench.available(id));
        EXPECT_TRUE(bench.health().status(id).settled);
        EXPECT_EQ(bench.health().next_probe(id), no_deadline);
    }
    EXPECT_TRUE(bench.done.publish);
    ASSERT_EQ(bench.done.keep.size(), 1U) << "its sessions were to end";
    EXPECT_EQ(bench.done.keep[0].second, EndCause::down);
    // A result of a check that was under way changes nothing.
    bench.health().on_probe(a, bad(), bench.now);
    bench.take();
    EXPECT_TRUE(bench.available(a));
}

TEST(HealthChange, a_verdict_stays_when_the_check_is_another_one) {
    Bench bench(quick(checked()));
    const auto up = bench.add("a");
    const auto down = bench.add("b");
    bench.probe(up, good());
    bench.probe(down, bad());
    bench.advance(1s);
    const TimePoint since = bench.health().status(down).since;
    auto settings = quick(checked());
    settings.health_check.type = config::CheckType::http;
    settings.health_check.interval = 1h;
    bench.configure(settings);
    EXPECT_TRUE(bench.available(up));
    EXPECT_FALSE(bench.available(down));
    EXPECT_EQ(bench.health().status(down).since, since);
    bench.probe(down, good());
    EXPECT_TRUE(bench.available(down));
}

TEST(HealthChange, who_is_down_is_looked_at_within_the_new_interval) {
    auto settings = quick(checked());
    settings.health_check.interval = 10h;
    Bench bench(settings);
    const auto a = bench.add("a");
    bench.probe(a, good());
    bench.probe(a, good());
    ASSERT_GT(bench.health().next_probe(a), bench.now + 1min);
    settings.health_check.interval = 2s;
    bench.configure(settings);
    EXPECT_LE(bench.health().next_probe(a), bench.now + 2s);
}

TEST(HealthChange, maintenance_is_not_checked_whatever_the_settings_are) {
    Bench bench(unchecked());
    const auto a = bench.add("a", {.state = BackendState::maintenance});
    bench.configure(checked());
    EXPECT_EQ(bench.health().next_probe(a), no_deadline);
    EXPECT_FALSE(bench.available(a));
    bench.set_state(a, BackendState::ready);
    EXPECT_NE(bench.health().next_probe(a), no_deadline);
}

TEST(HealthChange, a_breaker_that_is_switched_off_cuts_off_nobody) {
    for (const bool dry_run : {false, true}) {
        auto settings = unchecked();
        settings.circuit_breaker.max_open_share = 1;
        Bench bench(settings);
        const auto a = bench.add("a");
        bench.connect(a, false, 5);
        ASSERT_EQ(bench.circuit(a), CircuitState::open);
        ASSERT_FALSE(bench.available(a));
        bench.forget();
        if (dry_run)
            settings.circuit_breaker.dry_run = true;
        else
            settings.circuit_breaker.enabled = false;
        bench.configure(settings);
        EXPECT_EQ(bench.circuit(a), CircuitState::closed) << dry_run;
        EXPECT_EQ(bench.backend_of(a).circuit().state(), CircuitState::closed);
        EXPECT_TRUE(bench.available(a));
        EXPECT_EQ(bench.count(EventKind::circuit_closed), 1);
        bench.connect(a, false, 10);
        bench.advance(1min);
        EXPECT_EQ(bench.circuit(a), CircuitState::closed);
        EXPECT_EQ(bench.count(EventKind::circuit_would_open), dry_run ? 1 : 0);
        EXPECT_EQ(bench.health().outcome_interval() == never, !dry_run);
    }
}

TEST(HealthChange, a_breaker_that_is_new_counts_from_now_on) {
    auto settings = unchecked();
    settings.circuit_breaker.enabled = false;
    settings.circuit_breaker.max_open_share = 1;
    Bench bench(settings);
    const auto a = bench.add("a");
    bench.connect(a, true);
    auto& outcomes = bench.backend_of(a).outcomes();
    for (int i = 0; i < 100; ++i)
        static_cast<void>(
            outcomes.failed(outcomes.circuit().observe(), balancer::Failure::refused));
    bench.connect(a, true);  // the row ends
    settings.circuit_breaker.enabled = true;
    bench.configure(settings);
    bench.report(a);
    EXPECT_EQ(bench.circuit(a), CircuitState::closed);
    bench.connect(a, false, 4);
    EXPECT_EQ(bench.circuit(a), CircuitState::closed);
    bench.connect(a, false);
    EXPECT_EQ(bench.circuit(a), CircuitState::open);
}

TEST(HealthChange, an_open_circuit_stays_open_for_something_else) {
    auto settings = unchecked();
    settings.circuit_breaker.max_open_share = 1;
    Bench bench(settings);
    const auto a = bench.add("a");
    bench.connect(a, false, 5);
    const TimePoint until = bench.health().status(a).circuit_until;
    bench.forget();
    settings.attempts = 1;
    settings.connect_timeout = 1s;
    bench.configure(settings);
    EXPECT_EQ(bench.circuit(a), CircuitState::open);
    EXPECT_EQ(bench.health().status(a).circuit_until, until);
    EXPECT_TRUE(bench.done.turns.empty());
    bench.advance();
    EXPECT_EQ(bench.circuit(a), CircuitState::half_open);
}

TEST(HealthChange, the_threshold_of_panic_counts_at_once_and_is_told) {
    auto settings = quick(checked());
    Bench bench(settings);
    const auto a = bench.add("a");
    const auto b = bench.add("b");
    const auto c = bench.add("c");
    bench.probe(a, good());
    for (const auto id : {b, c}) bench.probe(id, bad());
    ASSERT_FALSE(bench.available(b));
    settings.panic_threshold = 0.5;
    bench.configure(settings);
    EXPECT_TRUE(bench.forced(b));
    EXPECT_TRUE(bench.available(c));
    EXPECT_TRUE(bench.health().in_panic(Role::none));
    EXPECT_EQ(bench.count(EventKind::panic_began), 1);
    settings.panic_threshold = 0.3;
    bench.configure(settings);
    EXPECT_FALSE(bench.available(b));
    EXPECT_EQ(bench.count(EventKind::panic_ended), 1);
    bench.configure(settings);
    EXPECT_EQ(bench.count(EventKind::panic_began) + bench.count(EventKind::panic_ended), 2)
        << "told once";
}

// Some listener of the new file asks for the primary, and there is none.
TEST(HealthChange, a_role_that_is_asked_for_from_now_on_is_told_about) {
    auto settings = quick(checked());
    settings.health_check.type = config::CheckType::postgres;
    Bench bench(settings);
    const auto a = bench.add("a");
    bench.probe(a, good(Role::replica));
    ASSERT_EQ(bench.count(EventKind::none_available), 0);
    bench.configure(settings, {.asked_primary = true});
    EXPECT_EQ(bench.count(EventKind::none_available), 1);
    EXPECT_TRUE(bench.text(EventKind::none_available).contains("primary"))
        << bench.text(EventKind::none_available);
    bench.configure(settings, {.asked_primary = true});
    EXPECT_EQ(bench.count(EventKind::none_available), 1);
    // Nobody asks any more, and then somebody asks again.
    bench.configure(settings);
    bench.configure(settings, {.asked_primary = true});
    EXPECT_EQ(bench.count(EventKind::none_available), 2);
    bench.probe(a, good(Role::primary));
    EXPECT_EQ(bench.count(EventKind::available_again), 1);
}

TEST(HealthChange, roles_are_forgotten_with_the_check_that_reported_them) {
    auto settings = quick(checked());
    settings.health_check.type = config::CheckType::postgres;
    Bench bench(settings, {.asked_primary = true});
    const auto a = bench.add("a");
    bench.probe(a, good(Role::primary));
    ASSERT_TRUE(bench.available(a, Role::primary));
    bench.configure(unchecked(), {.asked_primary = true});
    EXPECT_EQ(bench.health().status(a).role, Role::none);
    EXPECT_FALSE(bench.available(a, Role::primary));
    EXPECT_TRUE(bench.available(a));
}

TEST(HealthChange, sessions_that_were_to_end_after_the_grace_stay_where_that_is_off_now) {
    auto settings = quick(checked());
    settings.on_backend_down = config::OnBackendDown::kill;
    settings.down_grace = 10s;
    Bench bench(settings);
    const auto a = bench.add("a");
    bench.probe(a, good());
    bench.probe(a, bad());
    ASSERT_TRUE(bench.done.end.empty());
    settings.on_backend_down = config::OnBackendDown::keep;
    bench.configure(settings);
    bench.advance(1min);
    EXPECT_TRUE(bench.done.end.empty());
    EXPECT_FALSE(bench.available(a));
}

}  // namespace
}  // namespace penstock::health
