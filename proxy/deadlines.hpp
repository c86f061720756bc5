#pragma once

#include <cstdint>

#include "base/clock.hpp"

namespace penstock::proxy {

/// What a session waits for while it relays, and for how long: the listener's time-outs.
struct RelayTimeouts {
    Duration idle;         // no byte in either direction
    Duration half_closed;  // one side has finished, no byte from the other
    Duration peer;         // nothing acknowledged while data is outstanding
};

/// The moments from which they count. no_deadline = not applicable now. A direction that pauses for
/// its rate waits because of the proxy: the session is neither idle nor half-closed until then.
struct RelayTimes {
    TimePoint last_activity;
    TimePoint half_closed_since = no_deadline;
    TimePoint lifetime_ends = no_deadline;
    TimePoint milestone_due = no_deadline;
    TimePoint peer_check_due = no_deadline;
    TimePoint paused_until = no_deadline;  // the direction that goes on first
};

enum class DeadlineKind : std::uint8_t {
    nothing,
    idle,
    half_closed,
    lifetime,
    milestone,
    check_peers,
    end_pause,
};

struct NextDeadline {
    TimePoint at = no_deadline;
    DeadlineKind kind = DeadlineKind::nothing;
};

/// The nearest deadline of a relaying session. Pure.
[[nodiscard]] NextDeadline next_deadline(const RelayTimes& times,
                                         const RelayTimeouts& timeouts) noexcept;

/// The whole lifetime of one connection: `lifetime` shortened or lengthened by up to `jitter` of
/// itself; `unit` is uniform in [0, 1).
[[nodiscard]] Duration jittered_lifetime(Duration lifetime, double jitter, double unit) noexcept;

}  // namespace penstock::proxy
