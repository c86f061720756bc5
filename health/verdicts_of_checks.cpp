// What the results of checks, and the roles they report, lead to.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "health/verdicts.hpp"

namespace penstock::health {

namespace {

CheckSchedule::Pace pace_of(const RiseFall& check) noexcept {
    if (check.transitional()) return CheckSchedule::Pace::transitional;
    return check.up() ? CheckSchedule::Pace::steady : CheckSchedule::Pace::down;
}

std::string with_detail(const std::string& text, const std::string& detail) {
    return detail.empty() ? text : fmt::format("{}: {}", text, detail);
}

std::string described(const config::HealthCheck& settings, bool up, bool first) {
    const std::uint32_t n = up ? settings.rise : settings.fall;
    const char* outcome = up ? "succeeded" : "failed";
    if (first) return fmt::format("its first check {}", outcome);
    if (n <= 1) return fmt::format("a check {}", outcome);
    return fmt::format("{} checks in a row {}", n, outcome);
}

}  // namespace

void UpstreamHealth::Impl::on_result(Member& member, const ProbeResult& result, TimePoint now) {
    if (member.last_check != result.detail) member.last_check = result.detail;
    if (excuse(member, result.ok)) {
        member.schedule.on_ended(CheckSchedule::Pace::transitional, now, random);
        return;
    }
    const bool was_pending = member.check.pending();
    const RiseFall::Change change = member.check.on_result(result.ok);
    member.schedule.on_ended(pace_of(member.check), now, random);
    if (!result.ok && !member.check.up()) member.seen_down = true;
    if (change != RiseFall::Change::none) settle_verdict(member, was_pending, now);
    // Who fails and says nothing is still what it was last known to be.
    if (!result.ok && result.role == Role::none) return;
    if (roles.reported(member.id) == result.role) return;
    apply(roles.report(member.id, result.role));
    look_for_conflict();
}

// A failure during which this thread stood still may be its own.
bool UpstreamHealth::Impl::excuse(Member& member, bool ok) noexcept {
    member.was_excused = std::exchange(member.excused, false) && !ok;
    return member.was_excused;
}

void UpstreamHealth::Impl::settle_verdict(Member& member, bool was_pending, TimePoint now) {
    const bool up = member.check.up();
    member.since = now;
    note_awaited(member);
    Standing standing = member.standing;
    standing.up = up;
    standing.pending = false;
    restand(member, standing);
    roles.set_answering(member.id, up);
    look_for_conflict();
    const std::string why =
        with_detail(described(settings.health_check, up, was_pending), member.last_check);
    tell(up ? EventKind::check_up : EventKind::check_down, member,
         fmt::format("is {}: {}", up ? "up" : "down", why), !up);
    if (was_pending) actions.events.back().from = "unknown";
    if (up) {
        const bool recovered = std::exchange(member.seen_down, false);
        if (std::exchange(member.new_here, false) || recovered)
            actions.slow_starts.push_back(member.backend);
        member.down_due = no_deadline;
        if (std::exchange(member.ended_down, false)) keep_sessions(member, EndCause::down);
    } else {
        if (settings.on_backend_down != config::OnBackendDown::keep) {
            member.down_due = deadline_after(now, settings.down_grace);
            end_if_down(member, now);
        }
    }
    refile(member);
}

void UpstreamHealth::Impl::end_if_down(Member& member, TimePoint now) {
    if (now < member.down_due) return;
    member.down_due = no_deadline;
    member.ended_down = true;
    end_sessions(member, EndCause::down, Role::none,
                 settings.on_backend_down == config::OnBackendDown::kill, "it is down");
}

void UpstreamHealth::Impl::apply(const RoleBook::Changes& changes, const Member* quietly) {
    for (const auto& [id, from, to] : changes) {
        Member* member = find(id);
        if (member == nullptr) continue;
        Standing standing = member->standing;
        standing.role = to;
        restand(*member, standing);
        if (member == quietly) continue;
        const auto name = [](Role role) -> std::string_view {
            return role == Role::none ? "none" : name_of(role);
        };
        tell(EventKind::role_changed, *member,
             roles.disputed(id)
                 ? "still says that it is primary, but a newer one is believed: it has no role"
                 : fmt::format("has the role {} now, before {}", name(to), name(from)));
        actions.events.back().from = name(from);
        actions.events.back().to = name(to);
        if (std::exchange(member->ended_role, false))
            keep_sessions(*member, EndCause::role_changed);
        if (from == Role::none || settings.on_role_change == config::OnRoleChange::keep) continue;
        member->ended_role = true;
        end_sessions(*member, EndCause::role_changed, from, true,
                     fmt::format("it is no longer {}", name_of(from)));
    }
}

void UpstreamHealth::Impl::look_for_conflict() {
    const bool conflict = roles.conflict();
    if (conflict == told_conflict) return;
    told_conflict = conflict;
    if (!conflict) {
        actions.events.push_back({.kind = EventKind::conflict_ended,
                                  .backend = "",
                                  .text = "no longer has two backends that say they are primary",
                                  .is_warning = false});
        return;
    }
    const Member& newest = *find(roles.newest());
    tell(EventKind::role_conflict, newest,
         fmt::format("says that it is primary, and so does {}: the newer claim is believed",
                     find(roles.outdone())->backend->name()),
         true);
}

}  // namespace penstock::health
