// What the breaker's wishes lead to, and what is common to both verdicts: standing, sessions,
// timers.
#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "config/value.hpp"
#include "health/verdicts.hpp"

namespace penstock::health {

using balancer::CircuitState;

namespace {

std::string rounded(Duration duration) {
    return config::format_duration(std::chrono::round<std::chrono::milliseconds>(duration));
}

// By what made the breaker want to open.
using Causes = std::array<metrics::Counter, metrics::circuit_cause_count> metrics::VerdictCells::*;
void counted(Member& member, Causes causes) {
    (member.backend->verdict_cells().*causes)[std::to_underlying(member.breaker->cause())].add();
}

constexpr std::array all_roles{Role::none, Role::primary, Role::replica};

}  // namespace

void UpstreamHealth::Impl::fulfil(Member& member, CircuitBreaker::Wish wish, TimePoint now) {
    if (!member.breaker->should_be_open()) member.kept_closed = false;
    switch (wish) {
        case CircuitBreaker::Wish::nothing: break;
        case CircuitBreaker::Wish::open: open(member, now); break;
        case CircuitBreaker::Wish::half_open: half_open(member, now); break;
        case CircuitBreaker::Wish::close: close(member, now); break;
        case CircuitBreaker::Wish::would_open:
            counted(member, &metrics::VerdictCells::circuit_would_open);
            tell(EventKind::circuit_would_open, member,
                 fmt::format("would be cut off for {} (dry_run): {}",
                             rounded(member.breaker->open_time()), member.breaker->reason()),
                 true);
            break;
    }
    refile(member);
}

void UpstreamHealth::Impl::open(Member& member, TimePoint now) {
    if (!has_room_to_open(member)) {
        if (std::exchange(member.kept_closed, true)) return;
        tell(EventKind::circuit_kept_closed, member,
             fmt::format("is not cut off, since {} of {} backends are already (max_open_share): {}",
                         not_closed, tiers.candidates(Role::none), member.breaker->reason()),
             true);
        return;
    }
    const std::string reason = member.breaker->reason();
    counted(member, &metrics::VerdictCells::circuit_opened);
    member.breaker->open(now, random);
    turn(member, CircuitState::open, 0);
    tell(EventKind::circuit_opened, member,
         fmt::format("is cut off for {}: {}", rounded(member.breaker->open_time()), reason), true);
}

void UpstreamHealth::Impl::half_open(Member& member, TimePoint now) {
    const bool again = member.breaker->state() == CircuitState::half_open;
    member.breaker->half_open(now);
    turn(member, CircuitState::half_open, member.breaker->trials_wanted());
    if (!again)
        tell(EventKind::circuit_half_open, member,
             fmt::format("is tried out with {} connection{}", member.breaker->trials_wanted(),
                         member.breaker->trials_wanted() == 1 ? "" : "s"));
}

void UpstreamHealth::Impl::close(Member& member, TimePoint now) {
    member.breaker->close(now);
    turn(member, CircuitState::closed, 0);
    actions.slow_starts.push_back(member.backend);
    tell(EventKind::circuit_closed, member, "is used again: its trial connections succeeded");
}

void UpstreamHealth::Impl::turn(Member& member, CircuitState to, std::uint32_t trials) {
    actions.turns.push_back({.backend = member.backend, .to = to, .trials = trials});
    const auto is_closed = [](const Member& m) {
        return m.standing.circuit == CircuitState::closed;
    };
    const bool was_closed = is_closed(member);
    Standing standing = member.standing;
    standing.circuit = to;
    restand(member, standing);
    if (was_closed && !is_closed(member)) ++not_closed;
    if (!was_closed && is_closed(member)) --not_closed;
}

// One that is half-open counts already. At least one may open.
bool UpstreamHealth::Impl::has_room_to_open(const Member& member) const noexcept {
    if (member.standing.circuit != CircuitState::closed) return true;
    constexpr double rounding = 1e-9;  // 0.29 of 100 are 29
    const double share = settings.circuit_breaker.max_open_share;
    const auto most =
        static_cast<std::size_t>(std::floor(share * tiers.candidates(Role::none) + rounding));
    return not_closed + 1 <= std::max<std::size_t>(most, 1);
}

void UpstreamHealth::Impl::restand(Member& member, const Standing& standing) {
    const Standing before = std::exchange(member.standing, standing);
    if (before == standing) return;
    std::array<Admission, role_count> admissions;
    for (const Role role : all_roles)
        admissions[std::to_underlying(role)] = tiers.admit(before, role);
    if (tiers.replace(before, standing)) actions.publish = true;
    for (const Role role : all_roles)
        if (tiers.admit(standing, role) != admissions[std::to_underlying(role)])
            actions.publish = true;
    unannounced = true;
}

void UpstreamHealth::Impl::end_sessions(Member& member, EndCause cause, Role asked, bool at_once,
                                        const std::string& why) {
    actions.end.push_back(
        {.backend = member.backend, .cause = cause, .asked = asked, .at_once = at_once});
    tell(EventKind::sessions_ended, member,
         fmt::format("{} its sessions{}: {}", at_once ? "loses" : "drains",
                     asked == Role::none ? "" : " of clients that asked for this role", why));
}

void UpstreamHealth::Impl::keep_sessions(const Member& member, EndCause cause) {
    actions.keep.emplace_back(member.backend, cause);
}

void UpstreamHealth::Impl::tell(EventKind kind, const Member& member, std::string text,
                                bool is_warning) {
    actions.events.push_back({.kind = kind,
                              .backend = member.backend->name(),
                              .text = std::move(text),
                              .is_warning = is_warning});
}

void UpstreamHealth::Impl::refile(Member& member) {
    const TimePoint next =
        std::min(member.down_due, member.breaker ? member.breaker->next_timer() : no_deadline);
    if (next == member.filed) return;
    if (member.filed != no_deadline) timers.erase({member.filed, member.id});
    if (next != no_deadline) timers.emplace(next, member.id);
    member.filed = next;
}

}  // namespace penstock::health
