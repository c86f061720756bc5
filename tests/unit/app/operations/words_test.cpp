// Why a backend is not chosen, and who is, in words.
#include "app/operations/words.hpp"

#include <gtest/gtest.h>

#include "app/operations/events.hpp"
#include "app/operations/score.hpp"

namespace penstock::app {
namespace {

using balancer::CircuitState;
using config::BackendState;

const WallTime noon{std::chrono::hours(12)};

admin::BackendView well() {
    admin::BackendView view{.name = "a", .available = true, .eligible = true};
    view.check.enabled = true;
    return view;
}

std::string excluded(admin::BackendView view) {
    explain_exclusion(view, noon);
    return view.excluded_by + (view.why.empty() ? "" : ": " + view.why);
}

TEST(Exclusion, a_disputed_claim_says_whose_is_believed) {
    admin::UpstreamView upstream{.backends = {well(), well()}};
    upstream.backends[0].check.dispute = "says that it is primary";
    upstream.backends[1].name = "r2";
    upstream.backends[1].check.role = Role::primary;
    explain_disputes(upstream);
    EXPECT_EQ(upstream.backends[1].check.dispute, "");
    EXPECT_EQ(exclusion_for(upstream.backends[0], Role::primary, false),
              std::pair(std::string("role"), std::string("it says that it is primary; r2's newer "
                                                         "claim is believed")));
}

TEST(Exclusion, a_half_open_one_on_trial_is_no_back_up) {
    auto view = well();
    view.circuit.state = CircuitState::half_open;
    EXPECT_EQ(exclusion_for(view, Role::none, true).first, "half_open");
    view.circuit.state = CircuitState::closed;
    EXPECT_EQ(exclusion_for(view, Role::none, true).first, "tier");
}

TEST(Exclusion, the_first_reason_that_holds_is_named) {
    EXPECT_EQ(excluded(well()), "");
    auto view = well();
    view.available = view.eligible = false;
    view.check.up = false;
    view.check.last = {false, 1, "connection refused", {}};
    EXPECT_EQ(excluded(view), "down: its check is down: connection refused");
    view.check.up = true;
    view.circuit = {CircuitState::open, "5 connections in a row failed", 8.0};
    EXPECT_EQ(excluded(view),
              "circuit_open: breaker open, 8s left (5 connections in a row failed)");
    view.check.settled = false;
    EXPECT_EQ(excluded(view), "unchecked: its first check is outstanding");
    view.weight = 0;
    EXPECT_EQ(excluded(view), "weight_0: its weight is 0");
    view.state = BackendState::maintenance;
    EXPECT_EQ(excluded(view), "maintenance: maintenance");
    view.state = BackendState::drain;
    view.override = {BackendState::drain, std::nullopt, "uid 1000", noon - std::chrono::minutes(3)};
    EXPECT_EQ(excluded(view), "drain: drain, by uid 1000, 3m ago");
}

TEST(Exclusion, who_is_full_is_available_but_not_eligible) {
    auto view = well();
    view.eligible = false;
    view.limit = 1200;
    EXPECT_EQ(excluded(view), "full: it has its 1,200 connections");
}

TEST(Exclusion, for_a_role_and_for_back_ups) {
    auto view = well();
    EXPECT_EQ(exclusion_for(view, Role::primary, false).first, "role");
    view.tier = 1;
    EXPECT_EQ(exclusion_for(view, Role::none, true).first, "tier");
}

TEST(Choice, the_least_score_wins_where_scores_count) {
    const std::vector<Scored> two{{"a", 3.0, 1}, {"b", 2.0, 1}};
    EXPECT_EQ(choose(config::Balance::least_connections, two, "a", false).first, "b");
    EXPECT_EQ(choose(config::Balance::p2c, two, "a", false).first, "b");
    EXPECT_EQ(choose(config::Balance::maglev, two, "a", true).first, "a");
    EXPECT_EQ(choose(config::Balance::maglev, two, "a", false).first, "");
    EXPECT_EQ(choose(config::Balance::first, two, "a", false).first, "a");
    EXPECT_EQ(choose(config::Balance::round_robin, two, "a", false).first, "");
    EXPECT_EQ(choose(config::Balance::random, {{"a", std::nullopt, 1}}, "a", false).first, "a");
    EXPECT_EQ(choose(config::Balance::p2c, {}, "", false), std::pair(std::string(), std::string()));
}

TEST(Score, is_the_load_that_one_more_session_would_make) {
    balancer::Backend backend("web", "a", *Endpoint::parse("10.0.0.1:80"));
    admin::BackendView view{.effective_weight = 0.4, .active = 55};
    const TimePoint now{std::chrono::hours(1)};
    EXPECT_NEAR(*score_of(config::Balance::p2c, view, backend, now), 140, 1e-9);
    EXPECT_NEAR(*score_of(config::Balance::least_connections, view, backend, now), 137.5, 1e-9);
    EXPECT_FALSE(score_of(config::Balance::round_robin, view, backend, now));
}

TEST(SlowStartView, tells_weight_and_time_left) {
    balancer::Backend backend("web", "a", *Endpoint::parse("10.0.0.1:80"));
    const config::SlowStart settings{.window = std::chrono::seconds(30)};
    const TimePoint start{std::chrono::hours(1)};
    EXPECT_EQ(slow_start_of(backend, 10, settings, start).weight, 10);
    backend.start_slowly(start);
    const auto half = slow_start_of(backend, 10, settings, start + std::chrono::seconds(15));
    EXPECT_NEAR(half.weight, 5, 0.05);
    EXPECT_NEAR(*half.s_left, 15, 1e-6);
    EXPECT_FALSE(slow_start_of(backend, 10, settings, start + std::chrono::seconds(30)).s_left);
}

TEST(Events, say_from_what_to_what) {
    const auto event = event_of(
        "web",
        {.kind = health::EventKind::circuit_opened, .backend = "a", .text = "is cut off for 10s"});
    EXPECT_EQ(event.kind, "circuit");
    EXPECT_EQ(event.to, "open");
    EXPECT_EQ(event.backend, "a");
    const auto role = event_of("web", {.kind = health::EventKind::role_changed,
                                       .backend = "a",
                                       .text = "has the role primary now",
                                       .from = "replica",
                                       .to = "primary"});
    EXPECT_EQ(role.kind, "role");
    EXPECT_EQ(role.from, "replica");
    EXPECT_EQ(role.to, "primary");
}

TEST(Events, of_backends_that_come_and_leave_go_by_where_they_are_from) {
    using enum health::EventKind;
    for (const auto kind : {backend_added, backend_left, source_failed, source_works}) {
        const auto kind_of = [kind](health::Origin origin) {
            return event_of("web", {.kind = kind, .backend = "a", .text = "x", .origin = origin})
                .kind;
        };
        EXPECT_EQ(kind_of(health::Origin::name), "dns");
        EXPECT_EQ(kind_of(health::Origin::file), "file");
        EXPECT_EQ(kind_of(health::Origin::listed), "reload");
    }
}

}  // namespace
}  // namespace penstock::app
