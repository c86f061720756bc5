#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "balancer/limits/peer_set.hpp"
#include "balancer/slot_limiter.hpp"
#include "config/config.hpp"
#include "metrics/cells.hpp"
#include "net/socket.hpp"
#include "net/tls/context.hpp"
#include "proxy/deadlines.hpp"
#include "proxy/front/handshake_room.hpp"
#include "proxy/gate/access_policy.hpp"
#include "proxy/gate/gate.hpp"
#include "proxy/gate/gate_log.hpp"
#include "proxy/routing/router.hpp"
#include "proxy/upstream.hpp"
#include "proxy/waiting_workers.hpp"

namespace penstock::proxy {

/// One for each worker.
using RouteCellsOfWorkers = std::vector<metrics::RouteCells>;

/// What belongs to a listener's name, whatever its settings become: what is counted for it, what is
/// in use, who waits. Shared by the workers; the map is the control thread's.
struct ListenerAccount : std::enable_shared_from_this<ListenerAccount> {
    ListenerAccount(std::string its_name, std::size_t workers)
        : name(std::move(its_name)),
          waiting(workers),
          waiting_to_shake(workers),
          handshake_rooms(workers),
          cells(workers) {}

    /// Made at the first call.
    [[nodiscard]] const std::shared_ptr<RouteCellsOfWorkers>& route(const std::string& upstream);

    const std::string name;
    balancer::SlotLimiter connections{0};
    GateLog gate_log;
    WaitingWorkers waiting;  // for a slot
    balancer::SlotLimiter handshakes{0};
    WaitingWorkers waiting_to_shake;  // for one of `handshakes`
    std::vector<HandshakeRoom> handshake_rooms;  // one for each worker, used by that one alone
    /// Kept over changes of the certificates and the settings, so that tickets stay good.
    const std::shared_ptr<net::tls::TicketKeys> ticket_keys =
        std::make_shared<net::tls::TicketKeys>();
    std::vector<metrics::ListenerCells> cells;  // one for each worker
    std::map<std::string, std::shared_ptr<RouteCellsOfWorkers>> routes;  // by upstream
};

/// A listener with one state of its settings, for all workers. Sessions keep the one they came in
/// by; a change of the configuration makes another one with the same account.
struct ListenerShared {
    struct Route {
        std::string upstream;
        std::shared_ptr<RouteCellsOfWorkers> cells;
    };

    /// From now on the limits of these settings count. Control thread.
    void take_effect();

    /// Control thread. `before`: the one that this one follows; null = none.
    ListenerShared(config::Listener from, std::shared_ptr<ListenerAccount> its_account,
                   const balancer::SourceTable::Size& sources = {},
                   const ListenerShared* before = nullptr);
    /// Of a name that is new.
    ListenerShared(config::Listener from, std::size_t workers,
                   const balancer::SourceTable::Size& sources = {});

    config::Listener settings;
    std::shared_ptr<ListenerAccount> account;
    Gate gate;
    RouteTable table;
    balancer::PeerSet header_senders;  // whose PROXY header is believed
    std::vector<Route> routes;  // one per upstream that its clients may come to
    // What workers start with; a later one is sent to each.
    std::shared_ptr<const AccessPolicy> access;
    std::shared_ptr<const net::tls::ServerContext> tls{};  // null = TLS does not end here
};

/// What one worker counts for clients of one listener that went to one upstream.
struct Route {
    UpstreamPtr upstream;
    metrics::RouteCells* cells;  // the listener's
};

/// One worker's view of a ListenerShared; as UpstreamContext.
struct ListenerContext
    : boost::intrusive_ref_counter<ListenerContext, boost::thread_unsafe_counter> {
    /// `upstreams`: those of `from->routes`, in their order.
    ListenerContext(std::shared_ptr<ListenerShared> from, const std::vector<UpstreamPtr>& upstreams,
                    unsigned worker, std::uint64_t hash_seed, Random& random);

    std::shared_ptr<ListenerShared> shared;
    Router router;
    RelayTimeouts timeouts;
    net::KeepaliveOptions keepalive;
    std::shared_ptr<const AccessPolicy> access;  // null = everybody may enter
    std::shared_ptr<const net::tls::ServerContext> tls;
    /// Clients are looked at before they are sent anywhere: a PROXY header, a ClientHello, TLS.
    bool receives = false;
    bool peeks = false;  // a ClientHello
    metrics::ListenerCells& cells;
    std::vector<Route> routes;  // one per upstream that its clients may come to
    std::unordered_map<const UpstreamContext*, std::size_t> places;  // of routes

    [[nodiscard]] const config::Listener& settings() const noexcept { return shared->settings; }
    [[nodiscard]] ListenerAccount& account() const noexcept { return *shared->account; }
    /// Clients may show certificates.
    [[nodiscard]] bool tls_asks_clients() const noexcept {
        return settings().tls && settings().tls->client_auth != config::ClientAuth::off;
    }
    /// Settings of its upstreams have changed.
    void look_at_upstreams();
    /// Finds one of `routes`; null = none of that name.
    [[nodiscard]] UpstreamPtr named(const std::string& upstream) const;
    /// What is counted for its clients of that upstream, one of `routes`.
    [[nodiscard]] metrics::RouteCells& cells_of(const UpstreamContext& upstream) noexcept;
};

using ListenerPtr = boost::intrusive_ptr<ListenerContext>;

}  // namespace penstock::proxy
