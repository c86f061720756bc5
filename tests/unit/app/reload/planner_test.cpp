#include "app/reload/planner.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "config/diff.hpp"
#include "config/load.hpp"

namespace penstock::app {
namespace {

constexpr const char* base = R"(
[[listener]]
name = "in"
bind = "127.0.0.1:8080"
upstream = "web"
[[listener]]
name = "side"
bind = "127.0.0.1:8081"
split = [{ upstream = "cache", weight = 9 }, { upstream = "web", weight = 1 }]
[[upstream]]
name = "web"
drain = { wait = "5m", close_over = "30s" }
slow_start = { window = "30s" }
connect_timeout = "4s"
backend = [
  { name = "a", address = "10.0.0.1:80" },
  { name = "b", address = "10.0.0.2:80" },
  { name = "c", address = "web.internal:80" },
]
[[upstream]]
name = "cache"
balance = "maglev"
drain = { wait = "never" }
backend = [{ name = "m1", address = "10.0.1.1:80" }, { name = "m2", address = "10.0.1.2:80" }]
)";

config::Config config_of(const std::string& text) {
    auto loaded = config::load_text(text, "/test.toml", "/", {});
    for (const auto& problem : loaded.diagnostics) EXPECT_TRUE(loaded.ok()) << problem.message;
    return std::move(loaded.config);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

std::string op_of(admin::PlannedChange::Op op) {
    using enum admin::PlannedChange::Op;
    switch (op) {
        case add: return "+";
        case remove: return "-";
        case change: return "~";
        case restart: return "!";
        case kept_override: return "=";
    }
    return "?";
}

/// `~ upstream web connect_timeout 4s -> 1s | new connections only | 3`.
std::vector<std::string> lines_of(const admin::Plan& plan) {
    std::vector<std::string> lines;
    for (const auto& change : plan.changes)
        lines.push_back(fmt::format("{} {}{}{} {} -> {} | {} | {}", op_of(change.op), change.what,
                                    change.key.empty() ? "" : " ", change.key, change.from,
                                    change.to, change.effect, change.sessions));
    return lines;
}

class Planned : public testing::Test {
protected:
    Planned() {
        live.listeners = {{"in", {20}}, {"side", {7}}};
        live.backends = {{{"web", "a"}, {12}},         {{"web", "b"}, {4}},
                         {{"web", "c@10.0.0.3"}, {3}}, {{"web", "c@10.0.0.4"}, {1}},
                         {{"web", "cc"}, {100}},  // found elsewhere
                         {{"cache", "m1"}, {5}}};
    }
    admin::Plan plan(const std::string& from, const std::string& to) {
        return make_plan(config_of(base), config_of(replaced(base, from, to)), live);
    }
    using Lines = std::vector<std::string>;

    LiveState live;
};

TEST_F(Planned, nothing) {
    const auto plan = make_plan(config_of(base), config_of(base), live);
    EXPECT_TRUE(plan.changes.empty());
    EXPECT_EQ(plan.digest, "");
    EXPECT_EQ(plan.draining + plan.closed_now, 0U);
    // An override alone is no change.
    live.overrides[{"web", "a"}] = {.weight = 5};
    EXPECT_TRUE(make_plan(config_of(base), config_of(base), live).changes.empty());
}

TEST_F(Planned, a_value_and_the_digest_of_the_pair) {
    const auto one = plan("connect_timeout = \"4s\"", "connect_timeout = \"1s\"");
    EXPECT_EQ(lines_of(one),
              Lines{"~ upstream web connect_timeout 4s -> 1s | new connections only | 0"});
    EXPECT_EQ(one.draining + one.closed_now, 0U);
    EXPECT_EQ(one.digest,
              config::digest(config_of(base), config_of(replaced(base, "\"4s\"", "\"1s\""))));
    EXPECT_NE(one.digest, plan("connect_timeout = \"4s\"", "connect_timeout = \"2s\"").digest);
}

TEST_F(Planned, what_needs_a_restart_touches_nobody) {
    const auto one = plan("\n[[listener]]", "\n[process]\nworkers = 3\n[[listener]]");
    EXPECT_EQ(lines_of(one), Lines{"! process workers auto -> 3 | needs a restart | 0"});
    EXPECT_EQ(one.draining + one.closed_now, 0U);
    EXPECT_NE(one.digest, "");
}

TEST_F(Planned, a_backend_comes) {
    EXPECT_EQ(lines_of(plan("  { name = \"b\"",
                            "  { name = \"d\", address = \"10.0.0.9:80\" },\n  { name = \"b\"")),
              Lines{"+ upstream web backend d  -> 10.0.0.9:80 | slow start 30s | 0"});
    EXPECT_EQ(lines_of(plan("{ name = \"m2\"",
                            "{ name = \"m3\", address = \"10.0.1.3:80\" }, { name = \"m2\"")),
              Lines{"+ upstream cache backend m3  -> 10.0.1.3:80 | gets clients at once | 0"});
}

TEST_F(Planned, a_backend_leaves_and_its_sessions_drain) {
    const auto one = plan("  { name = \"a\", address = \"10.0.0.1:80\" },\n", "");
    EXPECT_EQ(
        lines_of(one),
        Lines{"- upstream web backend a 10.0.0.1:80 ->  | drain: wait 5m, then over 30s | 12"});
    EXPECT_EQ(one.draining, 12U);
    EXPECT_EQ(one.closed_now, 0U);
}

TEST_F(Planned, a_host_name_leaves_with_all_that_it_stands_for) {
    const auto one = plan("  { name = \"c\", address = \"web.internal:80\" },\n", "");
    ASSERT_EQ(one.changes.size(), 1U);
    EXPECT_EQ(one.changes[0].sessions, 4U) << "and not those of cc";
    EXPECT_EQ(one.draining, 4U);
}

TEST_F(Planned, without_a_drain_sessions_end_at_once_and_for_ever_is_said_so) {
    auto without = config_of(replaced(base, "wait = \"5m\", close_over = \"30s\"",
                                      "wait = \"0s\", close_over = \"0s\""));
    auto next = without;
    std::erase_if(next.upstreams[0].backends, [](const auto& b) { return b.name == "a"; });
    const auto at_once = make_plan(without, next, live);
    ASSERT_EQ(at_once.changes.size(), 1U);
    EXPECT_EQ(at_once.changes[0].effect, "end at once");
    EXPECT_EQ(at_once.closed_now, 12U);
    EXPECT_EQ(at_once.draining, 0U);
    const auto never = plan("{ name = \"m1\", address = \"10.0.1.1:80\" }, ", "");
    EXPECT_EQ(lines_of(never), Lines{"- upstream cache backend m1 10.0.1.1:80 ->  | drain: until "
                                     "they end by themselves | 5"});
    const auto nobody = plan(", { name = \"m2\", address = \"10.0.1.2:80\" }", "");
    EXPECT_EQ(lines_of(nobody),
              Lines{"- upstream cache backend m2 10.0.1.2:80 ->  | no sessions | 0"});
}

// The drain that counts is the new one, where the upstream stays.
TEST_F(Planned, another_address_and_another_state_move_sessions_and_another_limit_does_not) {
    const auto address = plan("10.0.0.1:80", "10.0.0.7:80");
    EXPECT_EQ(lines_of(address), Lines{"~ upstream web backend a address 10.0.0.1:80 -> "
                                       "10.0.0.7:80 | drain: wait 5m, then over 30s | 12"});
    EXPECT_EQ(address.draining, 12U);
    for (const char* state : {"drain", "maintenance"}) {
        const auto leaves =
            plan("\"10.0.0.1:80\"", fmt::format("\"10.0.0.1:80\", state = \"{}\"", state));
        ASSERT_EQ(leaves.changes.size(), 1U);
        EXPECT_EQ(leaves.changes[0].key, "state");
        EXPECT_EQ(leaves.changes[0].sessions, 12U) << state;
    }
    for (const char* other : {"weight = 3", "max_connections = 7"}) {
        const auto stays = plan("\"10.0.0.1:80\"", fmt::format("\"10.0.0.1:80\", {}", other));
        ASSERT_EQ(stays.changes.size(), 1U);
        EXPECT_EQ(stays.changes[0].sessions, 0U) << other;
        EXPECT_EQ(stays.draining, 0U);
    }
}

TEST_F(Planned, an_upstream_and_its_listener_leave) {
    auto wanted = config_of(base);
    wanted.listeners.erase(wanted.listeners.begin());
    wanted.listeners[0].split.clear();
    wanted.listeners[0].upstream = "cache";
    wanted.upstreams.erase(wanted.upstreams.begin());
    const auto one = make_plan(config_of(base), wanted, live);
    const auto lines = lines_of(one);
    const auto has = [&](const std::string& start, const std::string& end) {
        return std::ranges::any_of(lines, [&](const std::string& line) {
            return line.starts_with(start) && line.ends_with(end);
        });
    };
    EXPECT_TRUE(has("- listener in ", "| drain: wait 5m, then over 30s | 20"))
        << fmt::format("{}", fmt::join(lines, "\n"));
    EXPECT_TRUE(has("- upstream web ", "| drain: wait 5m, then over 30s | 120"))
        << fmt::format("{}", fmt::join(lines, "\n"));
    EXPECT_EQ(one.draining, 120U);
}

TEST_F(Planned, a_listener_with_a_split_drains_as_each_part_says) {
    auto wanted = config_of(base);
    wanted.listeners.pop_back();
    const auto one = make_plan(config_of(base), wanted, live);
    ASSERT_EQ(one.changes.size(), 1U);
    EXPECT_EQ(one.changes[0].what, "listener side");
    EXPECT_EQ(one.changes[0].effect, "drain as their upstreams say");
    EXPECT_EQ(one.changes[0].sessions, 7U);
    EXPECT_EQ(one.draining, 7U);
}

TEST_F(Planned, a_listener_that_only_has_routes_drains_as_any_other) {
    auto running = config_of(base);
    running.listeners[0].upstream.clear();
    running.listeners[0].routes.push_back({.source = {}, .upstream = "web"});
    auto wanted = running;
    wanted.listeners.erase(wanted.listeners.begin());
    const auto one = make_plan(running, wanted, live);
    ASSERT_EQ(one.changes.size(), 1U);
    EXPECT_EQ(one.changes[0].effect, "drain: wait 5m, then over 30s");
    EXPECT_EQ(one.changes[0].sessions, 20U);
    EXPECT_EQ(one.draining, 20U);
    running.listeners[0].routes.clear();
    running.listeners[0].sni = {{"a.example", "web"}};
    wanted = running;
    wanted.listeners.erase(wanted.listeners.begin());
    EXPECT_EQ(make_plan(running, wanted, live).draining, 20U);
}

TEST_F(Planned, whoever_leaves_by_listener_and_backend_counts_once) {
    live.backends = {{{"web", "a"}, {12}}, {{"web", "b"}, {4}}};
    live.listeners = {{"in", {16}}};
    auto wanted = config_of(base);
    wanted.listeners.erase(wanted.listeners.begin());
    std::erase_if(wanted.upstreams[0].backends, [](const auto& b) { return b.name == "a"; });
    const auto one = make_plan(config_of(base), wanted, live);
    ASSERT_EQ(one.changes.size(), 2U);
    EXPECT_EQ(one.draining, 16U);
    EXPECT_EQ(one.closed_now, 0U);
}

TEST_F(Planned, a_source_of_backends_is_not_the_upstream) {
    auto running = config_of(base);
    running.upstreams[0].discovery.push_back({.name = "web.internal"});
    const auto one = make_plan(running, config_of(base), live);
    ASSERT_EQ(one.changes.size(), 1U);
    EXPECT_TRUE(one.changes[0].what.starts_with("upstream web discovery ")) << one.changes[0].what;
    EXPECT_EQ(one.changes[0].sessions, 0U);
    EXPECT_EQ(one.draining + one.closed_now, 0U);
    EXPECT_FALSE(one.changes[0].effect.contains("no sessions"));
}

TEST_F(Planned, overrides_stay_unless_the_file_changes_that_very_value) {
    live.overrides[{"web", "a"}] = {.state = config::BackendState::drain, .weight = 5};
    live.overrides[{"cache", "m1"}] = {.weight = 9};  // an upstream that is not touched
    EXPECT_EQ(lines_of(plan("\"4s\"", "\"1s\"")),
              (Lines{"~ upstream web connect_timeout 4s -> 1s | new connections only | 0",
                     "= upstream web backend a weight 1 -> 5 |  | 0",
                     "= upstream web backend a state ready -> drain |  | 0"}));
    const auto weight = lines_of(plan("\"10.0.0.1:80\"", "\"10.0.0.1:80\", weight = 3"));
    ASSERT_EQ(weight.size(), 2U);
    EXPECT_TRUE(weight[0].starts_with("~ upstream web backend a weight 1 -> 3 |")) << weight[0];
    EXPECT_TRUE(weight[0].contains("ends the override 5")) << weight[0];
    EXPECT_EQ(weight[1], "= upstream web backend a state ready -> drain |  | 0");
    const auto state =
        lines_of(plan("\"10.0.0.1:80\"", "\"10.0.0.1:80\", state = \"maintenance\""));
    ASSERT_EQ(state.size(), 2U);
    EXPECT_TRUE(state[0].contains("ends the override drain")) << state[0];
    EXPECT_EQ(state[1], "= upstream web backend a weight 1 -> 5 |  | 0");
    // It goes with its backend.
    EXPECT_EQ(lines_of(plan("  { name = \"a\", address = \"10.0.0.1:80\" },\n", "")).size(), 1U);
}

TEST_F(Planned, sessions_of_old_processes_are_told) {
    live.backends[{"web", "a"}] = {.all = 12, .old = 5};
    const std::string line = "  { name = \"a\", address = \"10.0.0.1:80\" },\n";
    const auto told = plan(line, "");
    ASSERT_EQ(told.changes.size(), 1U);
    EXPECT_TRUE(told.changes[0].effect.ends_with(", 5 of them in old processes"))
        << told.changes[0].effect;
    EXPECT_EQ(told.changes[0].sessions, 12U);
    live.backends[{"web", "a"}] = {.all = 0, .old = 0, .out_of_reach = 3};
    const auto stay = plan(line, "");
    EXPECT_EQ(stay.changes.at(0).effect,
              "no sessions, 3 in old processes that cannot be told stay");
    EXPECT_EQ(stay.draining + stay.closed_now, 0U);
}

TEST_F(Planned, a_changed_split_ends_the_weights_that_an_operator_has_set) {
    live.splits["side"] = {5, 0};
    const auto lines = lines_of(plan("weight = 9", "weight = 8"));
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_TRUE(lines[0].starts_with("~ listener side split ")) << lines[0];
    EXPECT_TRUE(lines[0].contains("ends the override cache=5 web=0 |")) << lines[0];
    for (const auto& line : lines_of(plan("\"127.0.0.1:8081\"", "\"127.0.0.1:8082\"")))
        EXPECT_FALSE(line.contains("override")) << line;
}

TEST_F(Planned, moved_keys_are_told_once) {
    live.moved["cache"] = 0.249;
    auto wanted = config_of(base);
    for (const char* name : {"m3", "m4"}) {
        auto backend = wanted.upstreams[1].backends[0];
        backend.name = name;
        backend.address = *Endpoint::parse(fmt::format("10.0.1.{}:80", name[1]));
        wanted.upstreams[1].backends.push_back(backend);
    }
    const auto planned = make_plan(config_of(base), wanted, live);
    const auto lines = lines_of(planned);
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(planned.changes[0].balance, "maglev");
    EXPECT_EQ(planned.changes[1].balance, "");
    EXPECT_EQ(lines[0], "+ upstream cache backend m3  -> 10.0.1.3:80 | 24.9 % of keys move | 0");
    EXPECT_EQ(lines[1], "+ upstream cache backend m4  -> 10.0.1.4:80 | gets clients at once | 0");
}

TEST_F(Planned, another_seed_says_whose_keys_move) {
    live.moved["cache"] = 0.667;
    EXPECT_EQ(lines_of(plan("\n[[listener]]", "\n[process]\nhash_seed = 7\n[[listener]]")),
              Lines{"~ process hash_seed 0 -> 7 | new connections only, upstream cache: 66.7 % of "
                    "keys move | 0"});
}

TEST_F(Planned, names_that_come_are_new) {
    auto wanted = config_of(base);
    wanted.listeners.push_back(wanted.listeners[0]);
    wanted.listeners.back().name = "more";
    wanted.listeners.back().bind = {*Endpoint::parse("127.0.0.1:8082")};
    wanted.upstreams.push_back(wanted.upstreams[0]);
    wanted.upstreams.back().name = "more";
    const auto one = make_plan(config_of(base), wanted, live);
    ASSERT_EQ(one.changes.size(), 2U);
    for (const auto& change : one.changes) {
        EXPECT_EQ(change.op, admin::PlannedChange::Op::add);
        EXPECT_EQ(change.sessions, 0U);
    }
}

}  // namespace
}  // namespace penstock::app
