#include "proxy/gate/gate.hpp"

#include <utility>

#include "base/prefix.hpp"

namespace penstock::proxy {

namespace {

balancer::TokenLine token_line(const config::Rate& rate) noexcept {
    return {rate.amount, rate.per, rate.burst != 0 ? rate.burst : rate.amount};
}

balancer::SourceTable::Key source_of(const CompactEndpoint& peer,
                                     const config::SourcePrefix& prefix) noexcept {
    constexpr unsigned mapped_bits = 96;
    return Prefix::network_of(Prefix::mapped(peer),
                              peer.is_ipv4() ? mapped_bits + prefix.ipv4 : prefix.ipv6);
}

}  // namespace

Gate::Gate(const config::Listener& settings, balancer::SlotLimiter& connections,
           const balancer::SourceTable::Size& sources, SipHash hash, const Gate* before)
    : settings_(settings),
      connections_(connections),
      source_limits_{settings.max_connections_per_source, std::nullopt},
      exempt_(settings.limit_exempt) {
    if (settings.accept_rate.amount != 0) {
        const bool same = before != nullptr && before->rate_ &&
                          before->settings_.accept_rate == settings.accept_rate;
        rate_ = same ? before->rate_
                     : std::make_shared<balancer::TokenBucket>(token_line(settings.accept_rate));
    }
    if (settings.accept_rate_per_source.amount != 0)
        source_limits_.rate = token_line(settings.accept_rate_per_source);
    if ((source_limits_.connections == 0 && !source_limits_.rate) || settings.limit_exempt.all)
        return;
    // Accounts are kept by prefix: of another length they mean nothing.
    const bool same = before != nullptr && before->sources_ &&
                      before->settings_.source_prefix == settings.source_prefix;
    sources_ = same ? before->sources_
                    : std::make_shared<balancer::SourceTable>(source_limits_, sources, hash);
}

void Gate::take_effect() {
    connections_.set_limit(settings_.dry_run.max_connections ? 0 : settings_.max_connections);
    if (sources_) sources_->set_limits(source_limits_);
}

bool Gate::denied(const Arrival& arrival, Admission& out) {
    if (arrival.access == nullptr) return false;
    const auto [denied, would_be_denied] = arrival.access->check(arrival.peer);
    if (denied) out.refused = CloseReason::denied;
    if (!denied && would_be_denied) out.would_refuse.add(CloseReason::denied);
    return denied;
}

// All under the lock of the source, so that nothing has to be given back.
template <typename F>
void Gate::enter_source(const Arrival& arrival, Admission& out, F enter) {
    out.source = sources_->enter(source_of(arrival.peer, settings_.source_prefix), arrival.now,
                                 [&](const balancer::SourceTable::Standing& standing) {
                                     out.refused = judge(standing, out.would_refuse);
                                     return out.refused == CloseReason::none && enter();
                                 });
}

void Gate::take(Room room, Admission& out) {
    room.token.spend();
    room.would_refuse.for_each([&](CloseReason reason) { out.would_refuse.add(reason); });
    out.process = std::move(room.process);
    out.listener = std::move(room.listener);
}

Admission Gate::admit(const Arrival& arrival, Room room, balancer::SlotLimiter& process) {
    Admission out;
    if (denied(arrival, out)) return out;
    const auto take_room = [&] {
        if (!room.process) out.refused = reserve(room, process, arrival.now);
        return out.refused == CloseReason::none;
    };
    if (has_source(arrival.peer))
        enter_source(arrival, out, take_room);
    else
        take_room();
    if (out.refused == CloseReason::none) take(std::move(room), out);
    return out;
}

Admission Gate::admit_connection(TimePoint now, Room room, balancer::SlotLimiter& process) {
    Admission out;
    if (!room.process) out.refused = reserve(room, process, now);
    if (out.refused == CloseReason::none) take(std::move(room), out);
    return out;
}

Admission Gate::admit_source(const Arrival& arrival) {
    Admission out;
    if (!denied(arrival, out) && has_source(arrival.peer))
        enter_source(arrival, out, [] { return true; });
    return out;
}

CloseReason Gate::reserve(Room& room, balancer::SlotLimiter& process, TimePoint now) {
    if (settings_.dry_run.max_connections && settings_.max_connections != 0 &&
        connections_.used() >= settings_.max_connections)
        room.would_refuse.add(CloseReason::limit_listener);
    room.listener = connections_.try_acquire();
    if (room.listener) room.process = process.try_acquire();
    if (!room.process) {
        const auto full = room.listener ? CloseReason::limit_process : CloseReason::limit_listener;
        room = {};
        return has_token(now) ? full : CloseReason::rate_listener;
    }
    if (!rate_) return CloseReason::none;
    room.token = rate_->try_take(now);
    if (room.token) return CloseReason::none;
    if (settings_.dry_run.accept_rate) {
        room.would_refuse.add(CloseReason::rate_listener);
        return CloseReason::none;
    }
    room = {};
    return CloseReason::rate_listener;
}

std::optional<std::uint32_t> Gate::connections_of(const CompactEndpoint& peer) {
    if (!has_source(peer)) return std::nullopt;
    return sources_->connections(source_of(peer, settings_.source_prefix));
}

std::optional<std::uint64_t> Gate::rate_used(TimePoint now) const noexcept {
    if (!rate_) return std::nullopt;
    return rate_->used(now);
}

std::optional<std::uint64_t> Gate::rate_used_by(const CompactEndpoint& peer, TimePoint now) {
    if (!source_limits_.rate || !has_source(peer)) return std::nullopt;
    return sources_->tokens_used(source_of(peer, settings_.source_prefix), now);
}

CloseReason Gate::verdict(const CompactEndpoint* peer, const AccessPolicy* access, TimePoint now,
                          const balancer::SlotLimiter& process) {
    if (peer != nullptr) {
        const Arrival arrival{*peer, access, now};
        Admission out;
        if (!denied(arrival, out) && has_source(*peer))
            enter_source(arrival, out, [] { return false; });
        if (out.refused != CloseReason::none) return out.refused;
    }
    if (!has_token(now)) return CloseReason::rate_listener;
    if (connections_.full()) return CloseReason::limit_listener;
    return process.full() ? CloseReason::limit_process : CloseReason::none;
}

bool Gate::has_token(TimePoint now) const noexcept {
    return !rate_ || settings_.dry_run.accept_rate || rate_->has_token(now);
}

// A unix peer has no address that could be a source.
bool Gate::has_source(const CompactEndpoint& peer) const noexcept {
    return sources_ && !peer.is_unix() && !exempt_.contains(peer);
}

CloseReason Gate::judge(const balancer::SourceTable::Standing& standing,
                        ReasonSet& would_refuse) const noexcept {
    if (standing.over_connections) {
        if (!settings_.dry_run.max_connections_per_source) return CloseReason::limit_source;
        would_refuse.add(CloseReason::limit_source);
    }
    if (standing.over_rate) {
        if (!settings_.dry_run.accept_rate_per_source) return CloseReason::rate_source;
        would_refuse.add(CloseReason::rate_source);
    }
    return CloseReason::none;
}

}  // namespace penstock::proxy
