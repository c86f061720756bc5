#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "balancer/backend.hpp"
#include "balancer/outcomes.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"
#include "base/role.hpp"
#include "config/config.hpp"
#include "health/actions.hpp"

namespace penstock::health {

struct ProbeResult;

struct NewMember {
    std::shared_ptr<balancer::Backend> backend{};
    std::uint32_t weight = 1;
    std::uint32_t tier = 0;
    config::BackendState state = config::BackendState::ready;
    bool fresh = false;  // came while running: starts slowly
};

/// Everything that is known about one backend, for the operator.
struct MemberStatus {
    bool up = true;            // the check's verdict; true without checks
    bool settled = true;       // the verdict is based on a result, or needs none
    Role role = Role::none;    // as last reported
    bool role_disputed = false;  // says primary, but a newer claimant is believed
    balancer::CircuitState circuit = balancer::CircuitState::closed;
    config::BackendState state = config::BackendState::ready;
    bool available = false;    // to clients that ask for no role
    TimePoint since;           // of the check's verdict
    std::string last_check;    // detail of the last result
    std::string circuit_cause;  // what opened it; "" while it is closed
    TimePoint circuit_until = no_deadline;  // open: when it is tried again
};

/// The verdicts on the backends of one upstream and what follows from them: check, circuit
/// breaker, role and administrative state per backend, tiers and panic over all of them. Pure: it
/// is told what happens and when, and says what is to be done. One thread.
class UpstreamHealth {
public:
    struct Options {
        bool asked_primary = false;  // some listener asks for this role
        bool asked_replica = false;
        bool operator==(const Options&) const = default;
    };
    UpstreamHealth(const config::Upstream& settings, const Options& options, std::uint64_t seed);
    ~UpstreamHealth();

    // Events. Times never go backwards.

    /// The settings have changed. Members stay as they are; what checks and circuit breakers know
    /// of them stays as far as it means something under the new settings.
    void configure(const config::Upstream& settings, const Options& options, TimePoint now);

    MemberId add(NewMember member, TimePoint now);
    /// Its sources no longer name it. What its sessions do is up to the upstream's `drain`.
    void remove(MemberId member, TimePoint now);
    void set_weight(MemberId member, std::uint32_t weight, TimePoint now);
    void set_tier(MemberId member, std::uint32_t tier, TimePoint now);
    void set_state(MemberId member, config::BackendState state, TimePoint now);
    void on_probe_started(MemberId member, TimePoint now);
    void on_probe(MemberId member, const ProbeResult& result, TimePoint now);
    /// All counters as they are now; at every alarm, and regularly (outcome_interval()).
    void on_outcomes(MemberId member, const balancer::OutcomeTotals& totals, TimePoint now);
    /// When next_timer() has come, or at any time.
    void on_timer(TimePoint now);
    /// The control thread is late: nothing that is overdue was the backends' fault.
    void on_stall(Duration late, TimePoint now);

    // What to do.

    [[nodiscard]] Actions take_actions();
    /// When on_timer() is due; no_deadline = never.
    [[nodiscard]] TimePoint next_timer() const noexcept;
    /// When its next check starts; no_deadline = not before something happens (it is being checked,
    /// or is not checked at all).
    [[nodiscard]] TimePoint next_probe(MemberId member) const noexcept;
    /// How often on_outcomes() is wanted without an alarm; `never` if the breaker is off.
    [[nodiscard]] Duration outcome_interval() const noexcept;

    // What is known.

    struct Availability {
        bool available = false;
        bool forced = false;  // available because of panic
    };
    [[nodiscard]] Availability availability(MemberId member, Role asked) const noexcept;
    /// Somebody is available to clients that ask for this role.
    [[nodiscard]] bool any_available(Role asked) const noexcept;
    /// How many are.
    [[nodiscard]] std::uint32_t available(Role asked) const noexcept;
    /// Every backend has its first verdict (`initial = "check"`).
    [[nodiscard]] bool settled() const noexcept;
    [[nodiscard]] MemberStatus status(MemberId member) const;
    [[nodiscard]] bool in_panic(Role asked) const noexcept;
    [[nodiscard]] bool role_conflict() const noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::health
