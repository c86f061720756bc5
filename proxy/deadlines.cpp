#include "proxy/deadlines.hpp"

#include <algorithm>
#include <cmath>

namespace penstock::proxy {

NextDeadline next_deadline(const RelayTimes& times, const RelayTimeouts& timeouts) noexcept {
    const TimePoint active = times.paused_until == no_deadline
                                 ? times.last_activity
                                 : std::max(times.last_activity, times.paused_until);
    NextDeadline next{times.paused_until, DeadlineKind::end_pause};
    const auto consider = [&next](TimePoint at, DeadlineKind kind) {
        if (at < next.at) next = {at, kind};
    };
    consider(deadline_after(active, timeouts.idle), DeadlineKind::idle);
    if (times.half_closed_since != no_deadline)
        consider(deadline_after(std::max(times.half_closed_since, active), timeouts.half_closed),
                 DeadlineKind::half_closed);
    consider(times.lifetime_ends, DeadlineKind::lifetime);
    consider(times.milestone_due, DeadlineKind::milestone);
    consider(times.peer_check_due, DeadlineKind::check_peers);
    if (next.at == no_deadline) next.kind = DeadlineKind::nothing;
    return next;
}

Duration jittered_lifetime(Duration lifetime, double jitter, double unit) noexcept {
    if (lifetime == never) return never;
    const double factor = 1.0 + jitter * (2.0 * unit - 1.0);
    const double result = static_cast<double>(lifetime.count()) * factor;
    if (result >= static_cast<double>(never.count())) return never;
    return Duration(static_cast<Duration::rep>(std::max(result, 0.0)));
}

}  // namespace penstock::proxy
