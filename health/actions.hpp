#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "balancer/backend.hpp"
#include "health/data_plane.hpp"
#include "health/discovery/discovered.hpp"

namespace penstock::health {

/// The name of a backend of one upstream while it belongs to it; never used again.
using MemberId = std::uint32_t;

/// Something that an operator may want to know; each goes to the log and adds to a counter.
enum class EventKind : std::uint8_t {
    check_up,
    check_down,
    circuit_opened,
    circuit_half_open,
    circuit_closed,
    circuit_would_open,   // dry_run
    circuit_kept_closed,  // max_open_share: it would have opened
    role_changed,
    role_conflict,   // a second primary
    conflict_ended,
    panic_began,     // in a tier, for a role
    panic_ended,
    none_available,  // for a role that somebody asks for
    available_again,
    sessions_ended,  // on_backend_down, on_role_change, removal
    backend_added,   // found while running
    backend_left,
    source_failed,  // names or a file of discovery
    source_works,
};
inline constexpr std::size_t event_kind_count = 19;

struct Event {
    EventKind kind;
    std::string backend;  // its name; "" = the upstream as a whole
    std::string text;     // a clause for the log: `is down: 3 checks in a row failed: HTTP 503`
    bool is_warning = false;
    std::string from{};  // where the kind does not say it
    std::string to{};
    Origin origin = Origin::listed;  // of a backend that comes or leaves, of a source
};

/// A turn of a backend's circuit breaker.
struct CircuitTurn {
    std::shared_ptr<balancer::Backend> backend;
    balancer::CircuitState to;
    std::uint32_t trials = 0;  // half_open
};

/// What UpstreamHealth wants done, in this order.
struct Actions {
    std::vector<CircuitTurn> turns;
    std::vector<std::shared_ptr<balancer::Backend>> slow_starts;  // Backend::start_slowly()
    bool publish = false;  // view() says something new
    std::vector<std::pair<std::shared_ptr<const balancer::Backend>, EndCause>> keep;
    std::vector<EndSessions> end;
    std::vector<Event> events;
};

}  // namespace penstock::health
