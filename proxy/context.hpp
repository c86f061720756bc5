#pragma once

#include <cstdint>
#include <memory>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "balancer/hash_key.hpp"
#include "balancer/retry_budget.hpp"
#include "balancer/selector.hpp"
#include "balancer/slot_limiter.hpp"
#include "config/config.hpp"
#include "metrics/cells.hpp"
#include "net/socket.hpp"
#include "proxy/deadlines.hpp"
#include "proxy/gate/access_policy.hpp"
#include "proxy/gate/gate.hpp"
#include "proxy/gate/gate_log.hpp"
#include "proxy/handoff.hpp"
#include "proxy/queue/hold_room.hpp"
#include "proxy/queue/waiting_line.hpp"
#include "proxy/router.hpp"
#include "proxy/source_addresses.hpp"
#include "proxy/waiting_workers.hpp"

namespace penstock::proxy {

class WarmPool;

/// What all workers share of one upstream: settings, the set of backends, and what is limited over
/// all of them.
struct UpstreamShared : std::enable_shared_from_this<UpstreamShared> {
    UpstreamShared(config::Upstream from, std::shared_ptr<const balancer::BackendSet> set,
                   std::size_t workers);

    config::Upstream settings;
    std::shared_ptr<const balancer::BackendSet> backends;
    balancer::SlotLimiter connections;  // of sessions and pools
    balancer::SlotLimiter held;
    balancer::RetryBudget retries;
    WaitingLine line;
    WorkerLoads warm;  // warm connections, those being opened included
};

/// One worker's view of an upstream. Sessions hold it, so that it and its backends outlive a change
/// of the configuration. Counted without atomics: it never leaves its worker.
struct UpstreamContext
    : boost::intrusive_ref_counter<UpstreamContext, boost::thread_unsafe_counter> {
    UpstreamContext(std::shared_ptr<UpstreamShared> from, std::uint64_t seed);
    ~UpstreamContext();

    /// A session could get a slot now. Nothing is reserved.
    [[nodiscard]] bool has_room() const noexcept {
        return !shared->connections.full() && selector.has_room();
    }

    /// As net::start_connect(), from the source addresses of the upstream.
    [[nodiscard]] Result<net::ConnectState> start_connect(net::Socket& socket, const Endpoint& to,
                                                          net::Poller& poller) noexcept {
        return sources.start_connect(socket, to, poller, cells.no_port);
    }

    std::shared_ptr<UpstreamShared> shared;
    balancer::Selector selector;
    balancer::KeyHasher hasher;  // gives keys to hash policies only
    SourceAddresses sources;
    HoldRoom hold_room;
    std::unique_ptr<WarmPool> pool;  // null if the upstream has none
    net::KeepaliveOptions keepalive;
    metrics::UpstreamCells cells;
    bool wants_latency;  // the policy looks at the time to the first byte

    [[nodiscard]] const config::Upstream& settings() const noexcept { return shared->settings; }
};

/// What all workers share of one listener.
struct ListenerShared {
    ListenerShared(config::Listener from, std::size_t workers,
                   const balancer::SourceTable::Size& sources = {});

    config::Listener settings;
    Gate gate;
    GateLog gate_log;
    WaitingWorkers waiting;  // for a slot
    /// What workers start with; a later one is sent to each.
    std::shared_ptr<const AccessPolicy> access;
};

/// One worker's view of a listener; as UpstreamContext.
struct ListenerContext
    : boost::intrusive_ref_counter<ListenerContext, boost::thread_unsafe_counter> {
    ListenerContext(std::shared_ptr<ListenerShared> from, Router to);

    std::shared_ptr<ListenerShared> shared;
    Router router;
    RelayTimeouts timeouts;
    net::KeepaliveOptions keepalive;
    std::shared_ptr<const AccessPolicy> access;  // null = everybody may enter
    metrics::ListenerCells cells;

    [[nodiscard]] const config::Listener& settings() const noexcept { return shared->settings; }
};

using UpstreamPtr = boost::intrusive_ptr<UpstreamContext>;
using ListenerPtr = boost::intrusive_ptr<ListenerContext>;

}  // namespace penstock::proxy
