#pragma once

#include <memory>
#include <optional>
#include <string>

#include "health/actions.hpp"
#include "health/availability.hpp"
#include "health/check/check_schedule.hpp"
#include "health/check/rise_fall.hpp"
#include "health/circuit/circuit_breaker.hpp"

namespace penstock::health {

/// One backend as UpstreamHealth knows it. Plain data around its two verdicts.
struct Member {
    Member(MemberId its_id, std::shared_ptr<balancer::Backend> its_backend,
           const config::HealthCheck& settings)
        : id(its_id),
          backend(std::move(its_backend)),
          check(settings.rise, settings.fall, settings.initial),
          schedule(settings) {}

    MemberId id;
    std::shared_ptr<balancer::Backend> backend;
    config::BackendState state = config::BackendState::ready;
    Standing standing{};

    RiseFall check;
    CheckSchedule schedule;
    TimePoint since{};  // of the check's verdict
    std::string last_check;
    bool awaited = false;    // its first check is outstanding
    bool seen_down = false;  // a check has failed while it was down
    bool new_here = false;   // starts slowly once it is up
    bool excused = false;    // the thread stood still during the check that runs
    bool was_excused = false;  // its last check was not counted for that reason

    std::optional<CircuitBreaker> breaker;  // none if that is off
    bool kept_closed = false;  // it would be open but for max_open_share, and that was told

    TimePoint down_due = no_deadline;  // on_backend_down applies
    TimePoint filed = no_deadline;     // its entry in the list of timers
    // Which ends of its sessions were asked for.
    bool ended_down = false;
    bool ended_removed = false;
    bool ended_role = false;
};

}  // namespace penstock::health
