#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "balancer/limits/peer_set.hpp"
#include "balancer/limits/source_table.hpp"
#include "balancer/limits/token_bucket.hpp"
#include "balancer/slot_limiter.hpp"
#include "base/close_reason.hpp"
#include "base/endpoint.hpp"
#include "config/config.hpp"
#include "proxy/gate/access_policy.hpp"

namespace penstock::proxy {

/// What a connection takes from its listener and the process as a whole; given back when destroyed.
struct Room {
    balancer::Permit process;
    balancer::Permit listener;
    balancer::TokenBucket::Token token;
    ReasonSet would_refuse;
};

/// The gate's word on a connection.
struct Admission {
    CloseReason refused = CloseReason::none;  // none: it enters, with these permits
    ReasonSet would_refuse;  // dry runs that let it pass
    balancer::Permit process;
    balancer::Permit listener;
    balancer::SourcePermit source;  // empty where no limit per source touches it
};

/// Who may enter one listener, how fast, and how many. Shared by its workers; no clock, no sockets.
/// The first reason in this order counts: denied, limit_source, rate_source, rate_listener,
/// limit_listener, limit_process. Who is refused takes nothing: no slot, and no token of any rate.
class Gate {
public:
    /// `settings` and `connections`, which counts those of the listener, must outlive the gate.
    /// `before`: the gate that this one follows, whose sources keep their accounts and whose rate
    /// goes on where it stands, as far as the settings are the same; null = none.
    Gate(const config::Listener& settings, balancer::SlotLimiter& connections,
         const balancer::SourceTable::Size& sources, SipHash hash, const Gate* before = nullptr);

    /// From now on the limits of these settings count for what the gates before it share.
    void take_effect();

    struct Arrival {
        const CompactEndpoint& peer;
        const AccessPolicy* access;  // null: everybody may enter
        TimePoint now;
    };
    /// Decides on an accepted connection. `room` is empty, or what reserve() gave.
    [[nodiscard]] Admission admit(const Arrival& arrival, Room room,
                                  balancer::SlotLimiter& process);

    /// Where the client is known only later, by a PROXY header: the connection takes its room when
    /// it is accepted, without `access` and limits per source ...
    [[nodiscard]] Admission admit_connection(TimePoint now, Room room,
                                             balancer::SlotLimiter& process);
    /// ... which decide when the client is known.
    [[nodiscard]] Admission admit_source(const Arrival& arrival);

    /// Before accept(), where limits of the whole listener make clients wait: none, and `room` is
    /// complete; or the reason why there is none.
    [[nodiscard]] CloseReason reserve(Room& room, balancer::SlotLimiter& process, TimePoint now);
    /// True if reserve() lacks no token at `now`.
    [[nodiscard]] bool has_token(TimePoint now) const noexcept;
    /// When the next token is due; only with accept_rate.
    [[nodiscard]] TimePoint next_token() const noexcept { return rate_->next_token(); }

    [[nodiscard]] balancer::SlotLimiter& connections() noexcept { return connections_; }
    /// Connections of that client's source now; nothing where no limit per source touches it.
    [[nodiscard]] std::optional<std::uint32_t> connections_of(const CompactEndpoint& peer);
    /// Tokens of accept_rate that are spent now; nothing without one.
    [[nodiscard]] std::optional<std::uint64_t> rate_used(TimePoint now) const noexcept;
    /// The same of that client's source and accept_rate_per_source.
    [[nodiscard]] std::optional<std::uint64_t> rate_used_by(const CompactEndpoint& peer,
                                                            TimePoint now);
    /// What admit() would say now; nothing is taken, and dry runs are left out. `peer` null:
    /// whoever comes from a source that no list and no limit touches.
    [[nodiscard]] CloseReason verdict(const CompactEndpoint* peer, const AccessPolicy* access,
                                      TimePoint now, const balancer::SlotLimiter& process);
    /// Both keep the accounts of sources in one place, or neither has any.
    [[nodiscard]] bool shares_sources(const Gate& other) const noexcept {
        return sources_ == other.sources_;
    }
    /// Gives back the place of a source that was kept.
    void leave(balancer::SourcePermit::Handle source) noexcept { sources_->leave(source); }
    /// Sources that lost their account, or got none, because too many were there.
    [[nodiscard]] std::uint64_t source_overflows() const noexcept {
        return sources_ ? sources_->overflows() : 0;
    }

private:
    /// `access` says no; dry runs go to `out`.
    [[nodiscard]] static bool denied(const Arrival& arrival, Admission& out);
    /// Takes the place of the client's source if `enter` agrees to it.
    template <typename F>
    void enter_source(const Arrival& arrival, Admission& out, F enter);
    static void take(Room room, Admission& out);
    [[nodiscard]] bool has_source(const CompactEndpoint& peer) const noexcept;
    [[nodiscard]] CloseReason judge(const balancer::SourceTable::Standing& standing,
                                    ReasonSet& would_refuse) const noexcept;

    const config::Listener& settings_;
    balancer::SlotLimiter& connections_;
    std::shared_ptr<balancer::TokenBucket> rate_;
    std::shared_ptr<balancer::SourceTable> sources_;
    balancer::SourceTable::Limits source_limits_;
    balancer::PeerSet exempt_;
};

}  // namespace penstock::proxy
