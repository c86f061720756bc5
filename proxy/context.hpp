#pragma once

#include <memory>
#include <string>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "balancer/selector.hpp"
#include "balancer/slot_limiter.hpp"
#include "config/config.hpp"
#include "metrics/cells.hpp"
#include "net/socket.hpp"
#include "proxy/deadlines.hpp"
#include "proxy/waiting_workers.hpp"

namespace penstock::proxy {

/// What all workers share of one upstream: settings, and the set of backends.
struct UpstreamShared {
    config::Upstream settings;
    std::shared_ptr<const balancer::BackendSet> backends;
};

/// One worker's view of an upstream. Sessions hold it, so that it and its backends outlive a change
/// of the configuration. Counted without atomics: it never leaves its worker.
struct UpstreamContext
    : boost::intrusive_ref_counter<UpstreamContext, boost::thread_unsafe_counter> {
    UpstreamContext(std::shared_ptr<const UpstreamShared> from, std::uint64_t seed);

    std::shared_ptr<const UpstreamShared> shared;
    balancer::Selector selector;
    net::KeepaliveOptions keepalive;

    [[nodiscard]] const config::Upstream& settings() const noexcept { return shared->settings; }
};

/// What all workers share of one listener.
struct ListenerShared {
    ListenerShared(config::Listener from, std::size_t workers)
        : settings(std::move(from)), connections(settings.max_connections), waiting(workers) {}

    config::Listener settings;
    balancer::SlotLimiter connections;
    WaitingWorkers waiting;
};

/// One worker's view of a listener; as UpstreamContext.
struct ListenerContext
    : boost::intrusive_ref_counter<ListenerContext, boost::thread_unsafe_counter> {
    ListenerContext(std::shared_ptr<ListenerShared> from, boost::intrusive_ptr<UpstreamContext> to);

    std::shared_ptr<ListenerShared> shared;
    boost::intrusive_ptr<UpstreamContext> upstream;  // null = refuse: no_route
    RelayTimeouts timeouts;
    net::KeepaliveOptions keepalive;
    metrics::ListenerCells cells;

    [[nodiscard]] const config::Listener& settings() const noexcept { return shared->settings; }
};

using UpstreamPtr = boost::intrusive_ptr<UpstreamContext>;
using ListenerPtr = boost::intrusive_ptr<ListenerContext>;

}  // namespace penstock::proxy
