#include "health/upstream_health.hpp"

#include <algorithm>
#include <utility>

#include "health/verdicts.hpp"

namespace penstock::health {

UpstreamHealth::UpstreamHealth(const config::Upstream& settings, const Options& options,
                               std::uint64_t seed)
    : impl_(std::make_unique<Impl>(settings, options, seed)) {}

UpstreamHealth::~UpstreamHealth() = default;

void UpstreamHealth::configure(const config::Upstream& settings, const Options& options,
                               TimePoint now) {
    impl_->configure(settings, options, now);
}

MemberId UpstreamHealth::add(NewMember member, TimePoint now) {
    return impl_->add(std::move(member), now);
}

void UpstreamHealth::remove(MemberId id, TimePoint) {
    if (Member* member = impl_->find(id)) impl_->remove(*member);
}

void UpstreamHealth::set_weight(MemberId id, std::uint32_t weight, TimePoint) {
    Member* member = impl_->find(id);
    if (member == nullptr || member->standing.weight == weight) return;
    Standing standing = member->standing;
    standing.weight = weight;
    impl_->restand(*member, standing);
    impl_->actions.publish = true;
}

void UpstreamHealth::set_tier(MemberId id, std::uint32_t tier, TimePoint) {
    Member* member = impl_->find(id);
    if (member == nullptr || member->standing.tier == tier) return;
    Standing standing = member->standing;
    standing.tier = tier;
    impl_->restand(*member, standing);
    impl_->actions.publish = true;
}

void UpstreamHealth::set_state(MemberId id, config::BackendState state, TimePoint now) {
    Member* member = impl_->find(id);
    if (member != nullptr && member->state != state) impl_->set_state(*member, state, now);
}

void UpstreamHealth::on_probe_started(MemberId id, TimePoint now) {
    Member* member = impl_->find(id);
    if (member == nullptr || !impl_->is_checked(*member)) return;
    member->excused = false;
    member->schedule.on_started(now);
}

void UpstreamHealth::on_probe(MemberId id, const ProbeResult& result, TimePoint now) {
    Member* member = impl_->find(id);
    // A result that nobody waits for is from before a maintenance.
    if (member != nullptr && member->schedule.running()) impl_->on_result(*member, result, now);
}

void UpstreamHealth::on_outcomes(MemberId id, const balancer::OutcomeTotals& totals,
                                 TimePoint now) {
    Member* member = impl_->find(id);
    if (member == nullptr || !member->breaker) return;
    impl_->fulfil(*member, member->breaker->on_outcomes(totals, now, impl_->random), now);
}

void UpstreamHealth::on_timer(TimePoint now) {
    auto& timers = impl_->timers;
    while (!timers.empty() && timers.begin()->first <= now) {
        Member& member = *impl_->find(timers.begin()->second);
        impl_->end_if_down(member, now);
        if (member.breaker) impl_->fulfil(member, member.breaker->on_timer(now), now);
        impl_->refile(member);
    }
}

void UpstreamHealth::on_stall(Duration late, TimePoint now) {
    for (auto& [id, member] : impl_->members) {
        // A check that a stall shorter than its time-out disturbs is excused once, so that a
        // thread which is late all the time does not keep a dead backend up.
        if (member.schedule.running() &&
            (!member.was_excused || late >= impl_->settings.health_check.timeout))
            member.excused = true;
        member.schedule.on_stall(late, now, impl_->random);
        // The check that would have brought it up may be late as well.
        member.down_due = deadline_after(member.down_due, late);
        impl_->refile(member);
    }
}

Actions UpstreamHealth::take_actions() {
    if (std::exchange(impl_->unannounced, false))
        impl_->announcer.look(impl_->tiers, impl_->awaited > 0, impl_->actions.events);
    return std::exchange(impl_->actions, {});
}

TimePoint UpstreamHealth::next_timer() const noexcept {
    return impl_->timers.empty() ? no_deadline : impl_->timers.begin()->first;
}

TimePoint UpstreamHealth::next_probe(MemberId id) const noexcept {
    const Member* member = impl_->find(id);
    return member != nullptr ? member->schedule.next() : no_deadline;
}

Duration UpstreamHealth::outcome_interval() const noexcept {
    const auto& breaker = impl_->settings.circuit_breaker;
    if (!breaker.enabled) return never;
    const Duration bucket = breaker.window / OutcomeWindow::buckets;
    return std::clamp<Duration>(bucket, std::chrono::milliseconds(100), std::chrono::seconds(1));
}

UpstreamHealth::Availability UpstreamHealth::availability(MemberId id, Role asked) const noexcept {
    const Member* member = impl_->find(id);
    if (member == nullptr) return {};
    const Admission admission = impl_->tiers.admit(member->standing, asked);
    return {.available = admission.available, .forced = admission.forced};
}

bool UpstreamHealth::any_available(Role asked) const noexcept {
    return impl_->tiers.any_available(asked);
}

std::uint32_t UpstreamHealth::available(Role asked) const noexcept {
    return impl_->tiers.available(asked);
}

bool UpstreamHealth::settled() const noexcept { return impl_->awaited == 0; }

MemberStatus UpstreamHealth::status(MemberId id) const {
    const Member* member = impl_->find(id);
    if (member == nullptr) return {};
    const Standing& standing = member->standing;
    const bool circuit_closed = standing.circuit == balancer::CircuitState::closed;
    return {.up = standing.up,
            .settled = !standing.pending,
            .role = impl_->roles.reported(id),
            .role_disputed = impl_->roles.disputed(id),
            .circuit = standing.circuit,
            .state = member->state,
            .available = impl_->tiers.admit(standing, Role::none).available,
            .since = member->since,
            .last_check = member->last_check,
            .circuit_cause = circuit_closed ? std::string() : member->breaker->reason(),
            .circuit_until = circuit_closed ? no_deadline : member->breaker->next_timer()};
}

bool UpstreamHealth::in_panic(Role asked) const noexcept {
    return impl_->tiers.any_in_panic(asked);
}

bool UpstreamHealth::role_conflict() const noexcept { return impl_->roles.conflict(); }

}  // namespace penstock::health
