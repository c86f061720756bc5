#include "proxy/gate/gate.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "proxy/gate/gate_log.hpp"

namespace penstock::proxy {
namespace {

using namespace std::chrono_literals;
using enum CloseReason;

constexpr TimePoint start{1h};

CompactEndpoint peer(const std::string& address) {
    const bool six = address.contains(':');
    return Endpoint::parse(six ? "[" + address + "]:1" : address + ":1").value().ip();
}

CompactEndpoint unix_peer() {
    const sockaddr raw{.sa_family = AF_UNIX, .sa_data = {}};
    return CompactEndpoint::from_sockaddr(&raw, sizeof raw.sa_family);
}

PeerList networks(const std::vector<std::string>& list) {
    PeerList out;
    for (const auto& text : list) out.prefixes.push_back(Prefix::parse(text).value());
    return out;
}

/// A gate with the permits of those who entered.
class Scene {
public:
    explicit Scene(config::Listener listener, std::uint64_t process_limit = 0)
        : settings(std::move(listener)), process(process_limit) {
        gate.take_effect();
    }

    Admission arrive(const CompactEndpoint& from, TimePoint now = start) {
        return gate.admit({from, access.get(), now}, {}, process);
    }
    CloseReason enter(const std::string& from, TimePoint now = start) {
        auto admission = arrive(peer(from), now);
        const CloseReason refused = admission.refused;
        last_would_refuse = admission.would_refuse;
        if (refused == none) inside.push_back(std::move(admission));
        return refused;
    }

    config::Listener settings;
    balancer::SlotLimiter process;
    std::shared_ptr<const AccessPolicy> access = AccessPolicy::make(settings, {});
    balancer::SlotLimiter connections{0};
    Gate gate{settings, connections, {}, SipHash(1, 2)};
    std::vector<Admission> inside;
    ReasonSet last_would_refuse;
};

config::Rate rate(std::uint64_t amount, Duration per, std::uint64_t burst) {
    return {amount, per, burst};
}

// One cause each; then, of those that apply, the first in the order of the contract is told.
TEST(Gate, every_reason_and_their_order) {
    config::Listener all;
    all.deny = networks({"10.0.0.66"});
    all.max_connections_per_source = 1;
    all.accept_rate_per_source = rate(1, 1h, 1);
    all.accept_rate = rate(1, 1h, 2);
    all.max_connections = 2;
    Scene scene(all, 2);
    EXPECT_EQ(scene.enter("10.0.0.1"), none);
    EXPECT_EQ(scene.enter("10.0.0.66"), denied);
    EXPECT_EQ(scene.enter("10.0.0.1"), limit_source);
    EXPECT_EQ(scene.enter("10.0.0.2"), none);
    scene.inside.clear();
    EXPECT_EQ(scene.enter("10.0.0.1"), rate_source);
    EXPECT_EQ(scene.enter("10.0.0.3"), rate_listener);
}

TEST(Gate, a_verdict_is_what_the_next_one_meets_and_takes_nothing) {
    config::Listener all;
    all.deny = networks({"10.0.0.66"});
    all.max_connections_per_source = 1;
    all.accept_rate_per_source = rate(2, 1h, 2);
    all.accept_rate = rate(3, 1h, 3);
    all.max_connections = 3;
    Scene scene(all, 3);
    const auto verdict = [&scene](const std::string& from) {
        const auto client = peer(from);
        return scene.gate.verdict(&client, scene.access.get(), start, scene.process);
    };
    const auto one = peer("10.0.0.1");
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(verdict("10.0.0.1"), none);
        EXPECT_EQ(verdict("10.0.0.66"), denied);
    }
    EXPECT_EQ(scene.gate.rate_used(start), 0U);
    EXPECT_EQ(scene.enter("10.0.0.1"), none);
    EXPECT_EQ(verdict("10.0.0.1"), limit_source);
    EXPECT_EQ(scene.gate.rate_used_by(one, start), 1U);
    scene.inside.clear();
    EXPECT_EQ(scene.enter("10.0.0.1"), none);
    scene.inside.clear();
    EXPECT_EQ(verdict("10.0.0.1"), rate_source);
    EXPECT_EQ(scene.gate.rate_used_by(one, start), 2U);
    EXPECT_EQ(scene.gate.rate_used(start), 2U);
    EXPECT_EQ(verdict("10.0.0.2"), none);
    EXPECT_EQ(scene.enter("10.0.0.2"), none);
    EXPECT_EQ(verdict("10.0.0.3"), rate_listener);
    EXPECT_EQ(scene.gate.verdict(nullptr, nullptr, start, scene.process), rate_listener);
    EXPECT_EQ(scene.gate.rate_used_by(peer("10.0.0.3"), start), 0U);
}

TEST(Gate, the_rate_is_told_before_the_slots_and_the_listener_before_the_process) {
    config::Listener listener;
    listener.max_connections = 1;
    {
        Scene scene(listener, 1);
        EXPECT_EQ(scene.enter("10.0.0.1"), none);
        EXPECT_EQ(scene.enter("10.0.0.1"), limit_listener);
    }
    listener.accept_rate = rate(1, 1h, 1);
    {
        Scene scene(listener, 1);
        EXPECT_EQ(scene.enter("10.0.0.1"), none);
        EXPECT_EQ(scene.enter("10.0.0.1"), rate_listener);
    }
    Scene scene({}, 1);
    EXPECT_EQ(scene.enter("10.0.0.1"), none);
    EXPECT_EQ(scene.enter("10.0.0.1"), limit_process);
}

TEST(Gate, who_is_refused_takes_nothing) {
    config::Listener listener;
    listener.deny = networks({"10.0.0.66"});
    listener.max_connections = 1;
    listener.accept_rate = rate(1, 1h, 2);
    listener.accept_rate_per_source = rate(1, 1h, 1);
    Scene scene(listener, 5);
    EXPECT_EQ(scene.enter("10.0.0.1"), none);
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(scene.enter("10.0.0.66"), denied);
        EXPECT_EQ(scene.enter("10.0.0.1"), rate_source);
        EXPECT_EQ(scene.enter("10.0.0.2"), limit_listener);
    }
    EXPECT_EQ(scene.process.used(), 1U);
    EXPECT_EQ(scene.gate.connections().used(), 1U);
    scene.inside.clear();
    EXPECT_EQ(scene.process.used(), 0U);
    EXPECT_EQ(scene.gate.connections().used(), 0U);
    // The listener's second token and the one of this source are still there, and no third.
    EXPECT_EQ(scene.enter("10.0.0.2"), none);
    scene.inside.clear();
    EXPECT_EQ(scene.enter("10.0.0.3"), rate_listener);
}

TEST(Gate, a_source_is_a_prefix) {
    config::Listener listener;
    listener.max_connections_per_source = 1;
    listener.source_prefix = {24, 48};
    Scene scene(listener);
    EXPECT_EQ(scene.enter("10.0.0.1"), none);
    EXPECT_EQ(scene.enter("10.0.0.255"), limit_source);
    EXPECT_EQ(scene.enter("::ffff:10.0.0.7"), limit_source);
    EXPECT_EQ(scene.enter("10.0.1.1"), none);
    EXPECT_EQ(scene.enter("2001:db8:1::1"), none);
    EXPECT_EQ(scene.enter("2001:db8:1:ffff::1"), limit_source);
    EXPECT_EQ(scene.enter("2001:db8:2::1"), none);
}

TEST(Gate, by_default_an_ipv6_source_is_a_64_and_an_ipv4_one_an_address) {
    config::Listener listener;
    listener.max_connections_per_source = 1;
    Scene scene(listener);
    EXPECT_EQ(scene.enter("10.0.0.1"), none);
    EXPECT_EQ(scene.enter("10.0.0.2"), none);
    EXPECT_EQ(scene.enter("2001:db8::1"), none);
    EXPECT_EQ(scene.enter("2001:db8::2"), limit_source);
    EXPECT_EQ(scene.enter("2001:db8:0:1::1"), none);
}

TEST(Gate, exempt_and_unix_peers_have_no_limit_of_their_source) {
    config::Listener listener;
    listener.max_connections_per_source = 1;
    listener.accept_rate_per_source = rate(1, 1h, 1);
    listener.limit_exempt = networks({"10.0.0.0/24", "2001:db8::/32"});
    Scene scene(listener);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(scene.enter("10.0.0.9"), none);
        EXPECT_EQ(scene.enter("2001:db8::9"), none);
        auto by_path = scene.arrive(unix_peer());
        EXPECT_EQ(by_path.refused, none);
        EXPECT_FALSE(by_path.source);
    }
    EXPECT_EQ(scene.enter("10.0.1.9"), none);
    EXPECT_EQ(scene.enter("10.0.1.9"), limit_source);
}

TEST(Gate, a_dry_run_lets_pass_and_tells) {
    config::Listener listener;
    listener.deny = networks({"10.0.0.0/8"});
    listener.max_connections_per_source = 1;
    listener.accept_rate_per_source = rate(1, 1h, 1);
    listener.accept_rate = rate(1, 1h, 1);
    listener.max_connections = 1;
    listener.dry_run = {true, true, true, true, true, true};
    Scene scene(listener);
    EXPECT_EQ(scene.enter("11.0.0.1"), none);
    EXPECT_TRUE(scene.last_would_refuse.empty());
    EXPECT_EQ(scene.enter("11.0.0.1"), none);
    ReasonSet expected;
    for (const auto reason : {limit_source, rate_source, rate_listener, limit_listener})
        expected.add(reason);
    EXPECT_EQ(scene.last_would_refuse, expected);
    EXPECT_EQ(scene.enter("10.0.0.1"), none);
    EXPECT_TRUE(scene.last_would_refuse.contains(denied));
    EXPECT_EQ(scene.gate.connections().used(), 3U);
}

TEST(Gate, dry_run_of_one_list_leaves_the_other_in_force) {
    config::Listener listener;
    listener.allow = networks({"10.0.0.0/8"});
    listener.deny = networks({"10.9.0.0/16"});
    listener.dry_run.allow = true;
    Scene scene(listener);
    EXPECT_EQ(scene.enter("10.1.0.1"), none);
    EXPECT_TRUE(scene.last_would_refuse.empty());
    EXPECT_EQ(scene.enter("11.0.0.1"), none);
    EXPECT_TRUE(scene.last_would_refuse.contains(denied));
    EXPECT_EQ(scene.enter("10.9.0.1"), denied);

    listener.dry_run = {};
    listener.dry_run.deny = true;
    Scene other(listener);
    EXPECT_EQ(other.enter("10.9.0.1"), none);
    EXPECT_TRUE(other.last_would_refuse.contains(denied));
    EXPECT_EQ(other.enter("11.0.0.1"), denied);
}

TEST(Gate, room_is_reserved_before_the_accept_and_given_back_unless_used) {
    config::Listener listener;
    listener.on_limit = config::OnLimit::wait;
    listener.accept_rate = rate(10, 1s, 1);
    listener.max_connections = 2;
    listener.deny = networks({"10.0.0.66"});
    Scene scene(listener, 5);
    for (int i = 0; i < 3; ++i) {  // nobody came
        Room room;
        EXPECT_EQ(scene.gate.reserve(room, scene.process, start), none);
        Room second;
        EXPECT_EQ(scene.gate.reserve(second, scene.process, start), rate_listener);
    }
    const auto arrive = [&](const std::string& from, TimePoint now) {
        Room room;
        EXPECT_EQ(scene.gate.reserve(room, scene.process, now), none);
        return scene.gate.admit({peer(from), scene.access.get(), now}, std::move(room),
                                scene.process);
    };
    EXPECT_EQ(arrive("10.0.0.66", start).refused, denied);
    EXPECT_EQ(scene.process.used(), 0U);
    auto first = arrive("10.0.0.1", start);
    EXPECT_EQ(first.refused, none);
    EXPECT_EQ(scene.process.used(), 1U);
    EXPECT_FALSE(scene.gate.has_token(start + 99ms));
    EXPECT_EQ(scene.gate.next_token(), start + 100ms);
    auto second = arrive("10.0.0.1", start + 100ms);
    EXPECT_EQ(second.refused, none);
    Room none_left;
    EXPECT_EQ(scene.gate.reserve(none_left, scene.process, start + 1s), limit_listener);
    EXPECT_FALSE(none_left.listener);
    second = {};
    EXPECT_EQ(scene.gate.reserve(none_left, scene.process, start + 1s), none);
}

/// A gate and those that follow it, as reloads make them: each refers to the one before.
class Succession {
public:
    explicit Succession(const config::Listener& first) { follow(first); }

    /// Another configuration; the limits of what is shared count when take_effect() is called.
    Gate& follow(const config::Listener& next) {
        const Gate* before = gates_.empty() ? nullptr : gates_.back().get();
        settings_.push_back(std::make_unique<config::Listener>(next));
        gates_.push_back(std::make_unique<Gate>(
            *settings_.back(), connections, balancer::SourceTable::Size{}, SipHash(1, 2), before));
        return *gates_.back();
    }
    void change_to(const config::Listener& next) { follow(next).take_effect(); }
    CloseReason enter(const std::string& from, TimePoint now = start) {
        return enter_by(*gates_.back(), from, now);
    }
    CloseReason enter_by(Gate& gate, const std::string& from, TimePoint now = start) {
        auto admission = gate.admit({peer(from), nullptr, now}, {}, process);
        const CloseReason refused = admission.refused;
        if (refused == none) inside.push_back(std::move(admission));
        return refused;
    }
    [[nodiscard]] Gate& gate(std::size_t i) { return *gates_.at(i); }

    balancer::SlotLimiter process{0};
    balancer::SlotLimiter connections{0};

private:
    std::vector<std::unique_ptr<config::Listener>> settings_;
    std::vector<std::unique_ptr<Gate>> gates_;

public:
    std::vector<Admission> inside;  // goes before the gates
};

TEST(GateThatFollows, connections_from_before_count_and_the_limit_is_the_new_one) {
    config::Listener listener;
    listener.max_connections = 3;
    Succession gates(listener);
    gates.gate(0).take_effect();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(gates.enter("10.0.0.1"), none);
    listener.max_connections = 2;
    gates.change_to(listener);
    EXPECT_EQ(gates.connections.used(), 3U);
    gates.inside.pop_back();
    EXPECT_EQ(gates.enter("10.0.0.1"), limit_listener);
    gates.inside.pop_back();
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
    listener.max_connections = 0;
    gates.change_to(listener);
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
}

TEST(GateThatFollows, changes_nothing_before_it_takes_effect) {
    config::Listener listener;
    listener.max_connections = 1;
    listener.max_connections_per_source = 1;
    Succession gates(listener);
    gates.gate(0).take_effect();
    listener.max_connections = 5;
    listener.max_connections_per_source = 5;
    Gate& next = gates.follow(listener);
    EXPECT_EQ(gates.enter_by(gates.gate(0), "10.0.0.1"), none);
    EXPECT_EQ(gates.enter_by(gates.gate(0), "10.0.0.1"), limit_source);
    EXPECT_EQ(gates.enter_by(gates.gate(0), "10.0.0.2"), limit_listener);
    next.take_effect();
    // Some worker is behind and still has the old gate: the new limits count there too.
    EXPECT_EQ(gates.enter_by(gates.gate(0), "10.0.0.1"), none);
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
}

TEST(GateThatFollows, accounts_of_sources_go_on_unless_the_prefix_is_another_one) {
    config::Listener listener;
    listener.max_connections_per_source = 2;
    Succession gates(listener);
    gates.gate(0).take_effect();
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
    listener.timeouts.idle = 5s;  // something else
    gates.change_to(listener);
    EXPECT_EQ(gates.enter("10.0.0.1"), limit_source);
    listener.max_connections_per_source = 3;
    gates.change_to(listener);
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
    EXPECT_EQ(gates.enter("10.0.0.1"), limit_source);
    listener.source_prefix = {24, 64};
    gates.change_to(listener);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(gates.enter("10.0.0.2"), none);
    EXPECT_EQ(gates.enter("10.0.0.1"), limit_source) << "the accounts are those of networks now";
    gates.inside.clear();  // each goes back to the table that it came from
    for (std::size_t i = 0; i < 4; ++i)
        EXPECT_EQ(gates.gate(i).connections_of(peer("10.0.0.1")), 0U) << i;
}

TEST(GateThatFollows, spent_tokens_stay_spent_while_the_rate_is_the_same) {
    config::Listener listener;
    listener.accept_rate = rate(1, 1h, 3);
    listener.accept_rate_per_source = rate(1, 1h, 1);
    Succession gates(listener);
    gates.gate(0).take_effect();
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
    listener.max_connections_per_source = 9;
    gates.change_to(listener);
    EXPECT_EQ(gates.enter("10.0.0.1"), rate_source);
    EXPECT_EQ(gates.enter("10.0.0.2"), none);
    EXPECT_EQ(gates.enter("10.0.0.3"), none);
    EXPECT_EQ(gates.enter("10.0.0.4"), rate_listener) << "two from now, one from before";
    listener.accept_rate_per_source = rate(1, 1h, 2);
    listener.accept_rate = rate(1, 1h, 2);
    gates.change_to(listener);
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
    EXPECT_EQ(gates.enter("10.0.0.5"), rate_listener) << "the new burst is used up";
    listener.accept_rate = {};
    gates.change_to(listener);
    EXPECT_EQ(gates.enter("10.0.0.5"), none);
}

TEST(GateThatFollows, a_limit_that_comes_and_goes_leaves_no_account_open) {
    config::Listener listener;
    listener.max_connections_per_source = 1;
    Succession gates(listener);
    gates.gate(0).take_effect();
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
    gates.change_to({});
    EXPECT_EQ(gates.enter("10.0.0.1"), none);
    EXPECT_EQ(gates.gate(1).connections_of(peer("10.0.0.1")), std::nullopt);
    gates.change_to(listener);
    EXPECT_EQ(gates.enter("10.0.0.1"), none) << "a new account; those before are not in it";
    EXPECT_EQ(gates.enter("10.0.0.1"), limit_source);
    gates.inside.clear();
    EXPECT_EQ(gates.gate(2).connections_of(peer("10.0.0.1")), 0U);
    EXPECT_EQ(gates.connections.used(), 0U);
}

TEST(AccessPolicy, files_count_with_the_lists) {
    config::Listener listener;
    EXPECT_EQ(AccessPolicy::make(listener, {}), nullptr);
    listener.deny_file = "/d";
    const auto denies = AccessPolicy::make(listener, {{}, networks({"10.0.0.0/8"})});
    EXPECT_TRUE(denies->check(peer("10.0.0.1")).denied);
    EXPECT_FALSE(denies->check(peer("11.0.0.1")).denied);
    EXPECT_FALSE(AccessPolicy::make(listener, {})->check(peer("10.0.0.1")).denied);

    listener.deny_file.clear();
    listener.allow_file = "/a";
    const auto allows = AccessPolicy::make(listener, {networks({"10.0.0.0/8"}), {}});
    EXPECT_FALSE(allows->check(peer("10.0.0.1")).denied);
    EXPECT_TRUE(allows->check(peer("11.0.0.1")).denied);
    EXPECT_TRUE(AccessPolicy::make(listener, {})->check(peer("10.0.0.1")).denied)
        << "an empty allow_file admits nobody";
    listener.allow = networks({"12.0.0.0/8"});
    EXPECT_FALSE(AccessPolicy::make(listener, {})->check(peer("12.0.0.1")).denied);
}

class Lines final : public Logger {
public:
    bool enabled(LogLevel) const noexcept override { return true; }
    void write(LogLevel, std::string_view message) override { lines.emplace_back(message); }
    std::vector<std::string> lines;
};

TEST(GateLog, one_message_of_a_kind_in_ten_seconds) {
    Lines log;
    GateLog gate_log;
    config::Listener listener;
    listener.name = "web";
    listener.max_connections_per_source = 4;
    const auto report = [&](GateLog::Event event, CloseReason reason, TimePoint now) {
        gate_log.report(log, listener, event, reason, peer("192.0.2.7"), now);
    };
    for (int i = 0; i < 5; ++i) report(GateLog::Event::refuses, limit_source, start + i * 1s);
    report(GateLog::Event::refuses, denied, start);
    report(GateLog::Event::would_refuse, limit_source, start);
    ASSERT_EQ(log.lines.size(), 3U);
    EXPECT_EQ(log.lines[0],
              "listener web: refusing: limit_source (max_connections_per_source = 4), client "
              "192.0.2.7:1 (0 more since the last message)");
    report(GateLog::Event::refuses, limit_source, start + 10s);
    ASSERT_EQ(log.lines.size(), 4U);
    EXPECT_TRUE(log.lines[3].ends_with("(4 more since the last message)")) << log.lines[3];
}

// Behind a proxy: its connections have no source; their clients are asked later.
TEST(GateInTwoSteps, a_connection_takes_its_room_and_is_no_source) {
    config::Listener listener;
    listener.deny = networks({"0.0.0.0/0"});
    listener.max_connections = 1;
    listener.max_connections_per_source = 1;
    listener.accept_rate_per_source = rate(1, 1h, 1);
    Scene scene(listener);
    auto entered = scene.gate.admit_connection(start, {}, scene.process);
    EXPECT_EQ(entered.refused, none);
    EXPECT_EQ(scene.gate.connections().used(), 1U);
    EXPECT_EQ(scene.process.used(), 1U);
    EXPECT_EQ(scene.gate.admit_connection(start, {}, scene.process).refused, limit_listener);
    EXPECT_EQ(scene.process.used(), 1U) << "who is refused takes nothing";
}

TEST(GateInTwoSteps, the_rate_of_the_listener_counts_when_it_is_accepted) {
    config::Listener listener;
    listener.accept_rate = rate(1, 1h, 1);
    Scene scene(listener);
    EXPECT_EQ(scene.gate.admit_connection(start, {}, scene.process).refused, none);
    EXPECT_EQ(scene.gate.admit_connection(start, {}, scene.process).refused, rate_listener);
    const auto client = peer("10.0.0.1");
    EXPECT_EQ(scene.gate.admit_source({client, nullptr, start}).refused, none);
}

TEST(GateInTwoSteps, the_client_is_asked_for_lists_and_limits_per_source_alone) {
    config::Listener listener;
    listener.deny = networks({"10.0.0.66"});
    listener.max_connections = 1;
    listener.max_connections_per_source = 1;
    listener.accept_rate_per_source = rate(1, 1h, 2);
    Scene scene(listener, 1);
    auto room = scene.gate.admit_connection(start, {}, scene.process);
    ASSERT_EQ(room.refused, none);
    const auto ask = [&](const std::string& address) {
        const auto client = peer(address);
        return scene.gate.admit_source({client, scene.access.get(), start});
    };
    EXPECT_EQ(ask("10.0.0.66").refused, denied);
    {
        const auto first = ask("10.0.0.1");
        EXPECT_EQ(first.refused, none);
        EXPECT_TRUE(first.source);
        EXPECT_EQ(ask("10.0.0.1").refused, limit_source);
        EXPECT_EQ(ask("10.0.0.2").refused, none) << "the room of the listener was taken before";
    }
    EXPECT_EQ(ask("10.0.0.1").refused, none);
    EXPECT_EQ(ask("10.0.0.1").refused, rate_source);
    EXPECT_EQ(scene.process.used(), 1U);
    EXPECT_EQ(scene.gate.connections().used(), 1U);
}

TEST(GateInTwoSteps, dry_runs_let_clients_pass_and_tell) {
    config::Listener listener;
    listener.deny = networks({"10.0.0.66"});
    listener.max_connections_per_source = 1;
    listener.dry_run = {.max_connections_per_source = true, .deny = true};
    Scene scene(listener);
    const auto client = peer("10.0.0.66");
    const auto first = scene.gate.admit_source({client, scene.access.get(), start});
    EXPECT_EQ(first.refused, none);
    EXPECT_TRUE(first.would_refuse.contains(denied));
    EXPECT_FALSE(first.would_refuse.contains(limit_source));
    const auto second = scene.gate.admit_source({client, scene.access.get(), start});
    EXPECT_EQ(second.refused, none);
    EXPECT_TRUE(second.would_refuse.contains(limit_source));
}

}  // namespace
}  // namespace penstock::proxy
