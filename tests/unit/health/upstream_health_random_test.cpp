// Random events; what must always hold is checked after each.
#include "health/upstream_health.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <vector>

#include "support.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
using balancer::CircuitPass;
using balancer::CircuitState;
using config::BackendState;
using testing::Bench;

constexpr std::array all_roles{Role::none, Role::primary, Role::replica};
constexpr int sequences = 10'000;
constexpr int parts = 4;
constexpr int events_per_sequence = 50;

// What the test itself knows of a member.
struct Known {
    std::uint32_t weight = 1;
    BackendState state = BackendState::ready;
    bool probing = false;
    std::vector<CircuitPass> connections{};
};

config::Upstream random_settings(Random& random) {
    config::Upstream settings;
    settings.name = "u";
    const auto pick = [&](auto... choices) {
        const std::array list{choices...};
        return list[random.below(static_cast<std::uint32_t>(list.size()))];
    };
    settings.panic_threshold = pick(0.0, 0.001, 0.5, 0.9);
    settings.on_backend_down = pick(config::OnBackendDown::keep, config::OnBackendDown::drain,
                                    config::OnBackendDown::kill);
    settings.down_grace = pick(Duration(0s), Duration(3s));
    settings.on_role_change = pick(config::OnRoleChange::keep, config::OnRoleChange::kill);
    auto& check = settings.health_check;
    check.type = pick(config::CheckType::none, config::CheckType::http, config::CheckType::http,
                      config::CheckType::http);
    check.rise = pick(1U, 2U);
    check.fall = pick(1U, 3U);
    check.initial =
        pick(config::CheckInitial::check, config::CheckInitial::up, config::CheckInitial::down);
    auto& breaker = settings.circuit_breaker;
    breaker.enabled = random.below(5) != 0;
    breaker.consecutive_failures = pick(1U, 3U);
    breaker.min_samples = pick(2U, 10U);
    breaker.failure_rate = pick(0.0, 0.5);
    breaker.half_open_trials = pick(1U, 2U, 5U);
    breaker.max_open_share = pick(0.0, 0.3, 0.5, 1.0);
    breaker.open_for = {pick(Duration(1s), Duration(10s)), pick(Duration(10s), Duration(60s))};
    breaker.dry_run = random.below(6) == 0;
    return settings;
}

class Scenario {
public:
    Scenario(std::uint64_t seed, TimePoint start)
        : random_(seed),
          bench_(random_settings(random_), {.asked_primary = true, .asked_replica = true}, seed) {
        bench_.now = start;
    }

    void go() {
        for (int n = 0; n < 2; ++n) add(false);
        for (int n = 0; n < events_per_sequence && !::testing::Test::HasFailure(); ++n) {
            event();
            check();
        }
    }

private:
    MemberId any() {
        auto at = known_.begin();
        std::advance(at, random_.below(static_cast<std::uint32_t>(known_.size())));
        return at->first;
    }

    void event() {
        if (known_.empty()) return add(true);
        const MemberId id = any();
        Known& known = known_.at(id);
        switch (random_.below(16)) {
            case 0:
                if (known_.size() < 7) add(true);
                break;
            case 1:
                if (random_.below(3) != 0) break;
                bench_.remove(id);
                known_.erase(id);
                break;
            case 2:
                known.weight = random_.below(3);
                bench_.health().set_weight(id, known.weight, bench_.now);
                break;
            case 3: bench_.health().set_tier(id, random_.below(2), bench_.now); break;
            case 4:
                known.state = static_cast<BackendState>(random_.below(3));
                if (known.state == BackendState::maintenance) known.probing = false;
                bench_.set_state(id, known.state);
                break;
            case 5:
            case 6:
            case 7:
            case 8: probe(id, known); break;
            case 9: bench_.health().on_stall(200ms, bench_.now += 200ms); break;
            case 10: bench_.advance(std::chrono::milliseconds(random_.below(5000))); break;
            case 11:
                if (bench_.health().next_timer() != no_deadline) {
                    bench_.now = std::max(bench_.now, bench_.health().next_timer());
                    bench_.advance(0s);
                }
                break;
            default: connect(id, known); break;
        }
        bench_.take();
    }

    void add(bool fresh) {
        Known known{.weight = random_.below(3),
                    .state = random_.below(4) == 0 ? static_cast<BackendState>(random_.below(3))
                                                   : BackendState::ready};
        const MemberId id = bench_.add("a", {.weight = known.weight,
                                             .tier = random_.below(2),
                                             .state = known.state,
                                             .fresh = fresh});
        known_[id] = std::move(known);
    }

    void probe(MemberId id, Known& known) {
        auto& health = bench_.health();
        if (!known.probing) {
            if (health.next_probe(id) == no_deadline) return;
            bench_.now = std::max(bench_.now, health.next_probe(id));
            health.on_timer(bench_.now);
            health.on_probe_started(id, bench_.now);
            known.probing = true;
            return;
        }
        known.probing = false;
        const auto role = static_cast<Role>(random_.below(role_count));
        health.on_probe(id, {.ok = random_.below(2) == 0, .role = role, .detail = "x"}, bench_.now);
        // The pause is bounded by the longest interval there is.
        const Duration longest =
            std::max<Duration>(bench_.settings().health_check.interval * 2,
                               bench_.settings().health_check.down_interval.max);
        EXPECT_LE(health.next_probe(id) - bench_.now, longest);
    }

    // A client comes, or one leaves.
    void connect(MemberId id, Known& known) {
        auto& outcomes = bench_.backend_of(id).outcomes();
        const auto& limits = bench_.settings().circuit_breaker;
        if (known.connections.empty() || random_.below(2) == 0) {
            const auto pass = outcomes.circuit().try_pass();
            if (!pass) return;
            known.connections.push_back(*pass);
            if (!pass->trial) return;
            const auto current = std::ranges::count_if(known.connections, [&](CircuitPass other) {
                return other.trial && outcomes.circuit().is_current(other);
            });
            EXPECT_LE(current, limits.half_open_trials);
            return;
        }
        const CircuitPass pass = known.connections.back();
        known.connections.pop_back();
        const std::uint32_t dice = random_.below(8);
        if (dice == 0) return;  // it is lost
        if (dice == 1) return outcomes.circuit().give_back(pass);
        const bool alarm =
            dice < 4 ? outcomes.succeeded(pass) : outcomes.failed(pass, balancer::Failure::timeout);
        if (alarm || random_.below(3) == 0) report(id);
    }

    void report(MemberId id) {
        bench_.forget();
        const auto open = [this] {
            return std::ranges::count_if(known_, [this](const auto& member) {
                return bench_.circuit(member.first) != CircuitState::closed;
            });
        };
        const auto before = open();
        bench_.report(id);
        if (open() <= before) return;
        const auto in_use = std::ranges::count_if(known_, [](const auto& member) {
            return member.second.state == BackendState::ready && member.second.weight > 0;
        });
        const double share = bench_.settings().circuit_breaker.max_open_share;
        EXPECT_LE(open(), std::max(1.0, std::floor(share * static_cast<double>(in_use) + 1e-9)));
    }

    void check() {
        check_timers();
        for (const Role role : all_roles) check_role(role);
        for (const auto& [id, known] : known_) {
            // What the control thread believes is what the workers see.
            EXPECT_EQ(bench_.circuit(id), bench_.backend_of(id).circuit().state());
            EXPECT_EQ(bench_.health().status(id).state, known.state);
            EXPECT_LE(bench_.backend_of(id).circuit().trials().left,
                      bench_.settings().circuit_breaker.half_open_trials);
        }
    }

    // No state without a timer.
    void check_timers() {
        const auto& health = bench_.health();
        const bool checks = bench_.settings().health_check.type != config::CheckType::none;
        bool awaited = false;
        for (const auto& [id, known] : known_) {
            const bool checked = checks && known.state != BackendState::maintenance;
            EXPECT_EQ(health.next_probe(id) != no_deadline, checked && !known.probing);
            awaited |= checked && !health.status(id).settled;
            EXPECT_TRUE(bench_.circuit(id) == CircuitState::closed ||
                        health.next_timer() != no_deadline);
        }
        EXPECT_EQ(health.settled(), !awaited);
        EXPECT_TRUE(!known_.empty() || health.next_timer() == no_deadline);
    }

    void check_role(Role role) {
        const auto& health = bench_.health();
        bool any = false;
        bool any_settled_candidate = false;
        for (const auto& [id, known] : known_) {
            const auto [available, forced] = health.availability(id, role);
            const MemberStatus status = health.status(id);
            const Role believed = status.role_disputed ? Role::none : status.role;
            const bool candidate = known.state == BackendState::ready && known.weight > 0 &&
                                   (role == Role::none || role == believed);
            any |= available;
            any_settled_candidate |= candidate && status.settled;
            EXPECT_TRUE(available || !forced) << "forced implies available";
            EXPECT_TRUE(candidate || !available) << "never drained, weightless, in another role";
            EXPECT_TRUE(status.settled || !available) << "never before its first check";
            if (forced) {
                EXPECT_TRUE(health.in_panic(role));
                EXPECT_TRUE(!status.up || status.circuit != CircuitState::closed);
            } else if (available) {
                EXPECT_TRUE(status.up && status.circuit != CircuitState::open);
            }
            if (available && !health.in_panic(role)) {
                EXPECT_TRUE(health.availability(id, Role::none).available);
            }
            EXPECT_TRUE(role != Role::none || status.available == available);
        }
        EXPECT_EQ(health.any_available(role), any);
        // With a threshold above 0 somebody is always used, once there is a verdict.
        EXPECT_TRUE(bench_.settings().panic_threshold == 0 || !any_settled_candidate || any);
        EXPECT_TRUE(bench_.settings().panic_threshold > 0 || !health.in_panic(role));
    }

    Random random_;
    Bench bench_;
    std::map<MemberId, Known> known_;
};

// In parts, so that they may run side by side.
class UpstreamHealthRandom : public ::testing::TestWithParam<int> {};

TEST_P(UpstreamHealthRandom, what_must_hold_holds_after_every_event) {
    for (int n = GetParam(); n < sequences && !HasFailure(); n += parts) {
        SCOPED_TRACE(n);
        Scenario(static_cast<std::uint64_t>(n), testing::noon).go();
    }
}

INSTANTIATE_TEST_SUITE_P(part, UpstreamHealthRandom, ::testing::Range(0, parts));

TEST(UpstreamHealthRandomTimes, K2_what_must_hold_holds_late_on_the_time_line) {
    for (const TimePoint start : testing::odd_times) {
        for (std::uint64_t seed = 1; seed <= 300 && !HasFailure(); ++seed) {
            SCOPED_TRACE(seed);
            Scenario(seed, start).go();
        }
    }
}

}  // namespace
}  // namespace penstock::health
