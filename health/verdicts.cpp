#include "health/verdicts.hpp"

#include <utility>

namespace penstock::health {

using balancer::CircuitState;
using config::BackendState;

namespace {

// First checks whose result somebody waits for start at once as long as they are few.
constexpr std::uint32_t most_at_once = 16;

config::Upstream without_backends(config::Upstream settings) {
    settings.backends.clear();
    settings.discovery.clear();
    return settings;
}

}  // namespace

UpstreamHealth::Impl::Impl(const config::Upstream& its_settings, const Options& options,
                           std::uint64_t seed)
    : settings(without_backends(its_settings)),
      random(seed),
      tiers(settings.panic_threshold),
      announcer(settings.panic_threshold, options.asked_primary, options.asked_replica) {}

// Verdicts stay as long as they mean something.
void UpstreamHealth::Impl::configure(const config::Upstream& changed, const Options& options,
                                     TimePoint now) {
    const bool was_checked = settings.health_check.type != config::CheckType::none;
    const bool paces_changed = settings.health_check != changed.health_check;
    settings = without_backends(changed);
    tiers.set_panic_threshold(settings.panic_threshold);
    announcer.configure(settings.panic_threshold, options.asked_primary, options.asked_replica);
    const bool is_checked = settings.health_check.type != config::CheckType::none;
    for (auto& [id, member] : members) {
        member.check.configure(settings.health_check.rise, settings.health_check.fall);
        if (is_checked && !was_checked)
            begin_checks(member, now);
        else if (!is_checked && was_checked)
            end_checks(member);
        else if (paces_changed)
            member.schedule.configure(now, random);
        // A check that runs is one of before.
        if (paces_changed && member.schedule.running()) member.excused = true;
        if (settings.on_backend_down == config::OnBackendDown::keep) member.down_due = no_deadline;
        configure_breaker(member);
        refile(member);
    }
    actions.publish = unannounced = true;
}

// It was believed to be well so far, and is until a check says otherwise: a check that is new must
// not keep clients away.
void UpstreamHealth::Impl::begin_checks(Member& member, TimePoint now) {
    member.check =
        RiseFall(settings.health_check.rise, settings.health_check.fall, config::CheckInitial::up);
    member.since = now;
    if (member.state != BackendState::maintenance)
        member.schedule.start(now, first_spread(true, now), random);
}

void UpstreamHealth::Impl::end_checks(Member& member) {
    member.schedule.stop();
    member.down_due = no_deadline;
    member.excused = member.was_excused = member.seen_down = false;
    member.last_check.clear();
    note_awaited(member);
    if (std::exchange(member.new_here, false)) actions.slow_starts.push_back(member.backend);
    if (std::exchange(member.ended_down, false)) keep_sessions(member, EndCause::down);
    Standing standing = member.standing;
    standing.up = true;
    standing.pending = false;
    restand(member, standing);
    apply(roles.remove(member.id));
    standing = member.standing;
    standing.role = Role::none;
    restand(member, standing);
    look_for_conflict();
}

void UpstreamHealth::Impl::configure_breaker(Member& member) {
    if (settings.circuit_breaker.enabled) {
        if (member.breaker)
            member.breaker->configure(settings.connect_timeout);
        else
            member.breaker.emplace(settings.circuit_breaker, settings.connect_timeout,
                                   member.backend->outcomes().totals());
    }
    const bool cuts_off = settings.circuit_breaker.enabled && !settings.circuit_breaker.dry_run;
    if (!cuts_off && member.standing.circuit != CircuitState::closed) {
        turn(member, CircuitState::closed, 0);
        tell(EventKind::circuit_closed, member, "is used again: its circuit breaker is off");
        if (settings.circuit_breaker.enabled)
            member.breaker.emplace(settings.circuit_breaker, settings.connect_timeout,
                                   member.backend->outcomes().totals());
    }
    if (!settings.circuit_breaker.enabled) member.breaker.reset();
}

Member* UpstreamHealth::Impl::find(MemberId id) noexcept {
    const auto found = members.find(id);
    return found == members.end() ? nullptr : &found->second;
}

const Member* UpstreamHealth::Impl::find(MemberId id) const noexcept {
    const auto found = members.find(id);
    return found == members.end() ? nullptr : &found->second;
}

MemberId UpstreamHealth::Impl::add(NewMember&& arrival, TimePoint now) {
    const MemberId id = next_id++;
    Member& member = members.try_emplace(id, id, std::move(arrival.backend), settings.health_check)
                         .first->second;
    member.state = arrival.state;
    member.since = now;
    member.new_here = arrival.fresh;
    if (settings.circuit_breaker.enabled)
        member.breaker.emplace(settings.circuit_breaker, settings.connect_timeout,
                               member.backend->outcomes().totals());
    // The backend may have been here before.
    if (member.backend->circuit().state() != CircuitState::closed)
        turn(member, CircuitState::closed, 0);
    if (arrival.fresh && arrival.state == BackendState::ready)
        keep_sessions(member, EndCause::removed);
    const bool checked = settings.health_check.type != config::CheckType::none;
    member.standing = {.ready = arrival.state == BackendState::ready,
                       .weight = arrival.weight,
                       .tier = arrival.tier,
                       .up = !checked || member.check.up(),
                       .pending = checked && member.check.pending()};
    if (arrival.state == BackendState::maintenance) {
        enter_maintenance(member);
    } else if (checked) {
        member.schedule.start(now, first_spread(member.check.pending(), now), random);
        note_awaited(member);
    }
    if (member.standing.up && std::exchange(member.new_here, false))
        actions.slow_starts.push_back(member.backend);
    tiers.add(member.standing);
    actions.publish = unannounced = true;
    return id;
}

void UpstreamHealth::Impl::remove(Member& member) {
    if (!member.ended_removed)
        end_sessions(member, EndCause::removed, Role::none, false, "it was removed");
    const MemberId id = member.id;
    tiers.remove(member.standing);
    if (member.standing.circuit != CircuitState::closed) --not_closed;
    if (member.awaited) --awaited;
    timers.erase({member.filed, id});
    members.erase(id);
    apply(roles.remove(id));
    look_for_conflict();
    actions.publish = unannounced = true;
}

void UpstreamHealth::Impl::set_state(Member& member, BackendState state, TimePoint now) {
    const BackendState before = std::exchange(member.state, state);
    if (before == BackendState::maintenance) leave_maintenance(member, now);
    if (state == BackendState::maintenance) enter_maintenance(member);
    Standing standing = member.standing;
    standing.ready = state == BackendState::ready;
    restand(member, standing);
    actions.publish = true;
    if (state == BackendState::ready) {
        if (std::exchange(member.ended_removed, false)) keep_sessions(member, EndCause::removed);
    } else if (!std::exchange(member.ended_removed, true)) {
        end_sessions(
            member, EndCause::removed, Role::none, false,
            state == BackendState::drain ? "it is set to drain" : "it is set to maintenance");
    }
}

void UpstreamHealth::Impl::enter_maintenance(Member& member) {
    member.schedule.stop();
    member.down_due = no_deadline;
    member.excused = member.was_excused = false;
    refile(member);
    if (settings.health_check.type == config::CheckType::none) return;
    member.check.restart();
    note_awaited(member);
    Standing standing = member.standing;
    standing.up = false;
    standing.pending = true;
    restand(member, standing);
    apply(roles.set_competing(member.id, false), &member);
    look_for_conflict();
}

// Servers come back from maintenance as cold as new ones.
void UpstreamHealth::Impl::leave_maintenance(Member& member, TimePoint now) {
    if (!is_checked(member)) {
        actions.slow_starts.push_back(member.backend);
        return;
    }
    member.new_here = true;
    member.schedule.start(now, first_spread(true, now), random);
    note_awaited(member);
    apply(roles.set_competing(member.id, true), &member);
    look_for_conflict();
}

bool UpstreamHealth::Impl::is_checked(const Member& member) const noexcept {
    return settings.health_check.type != config::CheckType::none &&
           member.state != BackendState::maintenance;
}

// How far from now a first check may start. Where somebody waits for the result (`urgent`) a few
// start at once, and more within fast_interval; else all within one interval.
Duration UpstreamHealth::Impl::first_spread(bool urgent, TimePoint now) noexcept {
    if (!urgent) return settings.health_check.interval;
    const Duration fast = settings.health_check.fast_interval;
    if (first_since == TimePoint::min() || now - first_since >= fast) {
        first_since = now;
        first_at_once = 0;
    }
    if (first_at_once >= most_at_once) return fast;
    ++first_at_once;
    return Duration::zero();
}

void UpstreamHealth::Impl::note_awaited(Member& member) {
    const bool now_awaited = is_checked(member) && member.check.pending();
    if (member.awaited == now_awaited) return;
    member.awaited = now_awaited;
    if (now_awaited)
        ++awaited;
    else
        --awaited;
    unannounced = true;
}

}  // namespace penstock::health
