#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "config/config.hpp"
#include "metrics/cells.hpp"
#include "net/socket.hpp"
#include "proxy/deadlines.hpp"
#include "proxy/gate/access_policy.hpp"
#include "proxy/gate/gate.hpp"
#include "proxy/gate/gate_log.hpp"
#include "proxy/router.hpp"
#include "proxy/upstream.hpp"
#include "proxy/waiting_workers.hpp"

namespace penstock::proxy {

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

/// What one worker counts for clients of one listener that went to one upstream.
struct Route {
    UpstreamPtr upstream;
    std::unique_ptr<metrics::RouteCells> cells = std::make_unique<metrics::RouteCells>();
};

/// One worker's view of a listener; as UpstreamContext.
struct ListenerContext
    : boost::intrusive_ref_counter<ListenerContext, boost::thread_unsafe_counter> {
    /// `upstreams`: those that the router may choose, each once.
    ListenerContext(std::shared_ptr<ListenerShared> from, Router to,
                    const std::vector<UpstreamPtr>& upstreams);

    std::shared_ptr<ListenerShared> shared;
    Router router;
    RelayTimeouts timeouts;
    net::KeepaliveOptions keepalive;
    std::shared_ptr<const AccessPolicy> access;  // null = everybody may enter
    metrics::ListenerCells cells;
    std::vector<Route> routes;  // one per upstream that its clients may come to

    [[nodiscard]] const config::Listener& settings() const noexcept { return shared->settings; }
    /// What is counted for its clients of that upstream, one of `routes`.
    [[nodiscard]] metrics::RouteCells& cells_of(const UpstreamContext& upstream) noexcept;
};

using ListenerPtr = boost::intrusive_ptr<ListenerContext>;

}  // namespace penstock::proxy
