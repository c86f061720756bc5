#include "app/ledger/ledger.hpp"

namespace penstock::app {

namespace {

template <typename Map>
void add_each(Map& totals, const Map& others) {
    for (const auto& [name, other] : others) totals[name] += other;
}

}  // namespace

ProcessTotals& ProcessTotals::operator+=(const ProcessTotals& other) noexcept {
    access_log_lines += other.access_log_lines;
    access_log_dropped += other.access_log_dropped;
    access_log_suppressed += other.access_log_suppressed;
    log_dropped += other.log_dropped;
    reloads_succeeded += other.reloads_succeeded;
    reloads_failed += other.reloads_failed;
    return *this;
}

LookupTotals& LookupTotals::operator+=(const LookupTotals& other) noexcept {
    succeeded += other.succeeded;
    failed += other.failed;
    return *this;
}

Ledger::Listener& Ledger::Listener::operator+=(const Listener& other) {
    totals += other.totals;
    add_each(routes, other.routes);
    return *this;
}

Ledger& Ledger::operator+=(const Ledger& other) {
    add_each(listeners, other.listeners);
    add_each(upstreams, other.upstreams);
    add_each(lookups, other.lookups);
    add_each(backends, other.backends);
    add_each(workers, other.workers);
    process += other.process;
    return *this;
}

Gauges::Upstream& Gauges::Upstream::operator+=(const Upstream& other) noexcept {
    connections += other.connections;
    queued += other.queued;
    held += other.held;
    return *this;
}

Gauges::Backend& Gauges::Backend::operator+=(const Backend& other) noexcept {
    active += other.active;
    connecting += other.connecting;
    warm += other.warm;
    return *this;
}

Gauges& Gauges::operator+=(const Gauges& other) {
    connections += other.connections;
    add_each(listeners, other.listeners);
    add_each(upstreams, other.upstreams);
    add_each(backends, other.backends);
    add_each(sources, other.sources);
    add_each(workers, other.workers);
    return *this;
}

}  // namespace penstock::app
