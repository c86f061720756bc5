#include "metrics/totals.hpp"

#include <algorithm>
#include <numeric>

namespace penstock::metrics {

std::uint64_t HistogramTotals::count() const noexcept {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

void HistogramTotals::make_room(std::span<const std::uint64_t> bounds) {
    if (!counts.empty()) return;
    bounds_us = bounds;
    counts.resize(bounds.size() + 1);
}

HistogramTotals& HistogramTotals::operator+=(const HistogramTotals& other) {
    if (other.counts.empty()) return *this;
    make_room(other.bounds_us);
    sum_us += other.sum_us;
    if (other.counts.size() == counts.size() && std::ranges::equal(other.bounds_us, bounds_us)) {
        for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
        return *this;
    }
    for (std::size_t i = 0; i < other.counts.size(); ++i) {
        const auto home = i < other.bounds_us.size()
                              ? std::ranges::lower_bound(bounds_us, other.bounds_us[i])
                              : bounds_us.end();
        counts[static_cast<std::size_t>(home - bounds_us.begin())] += other.counts[i];
    }
    return *this;
}

std::optional<double> quantile_ms(std::span<const std::uint64_t> bounds_us,
                                  std::span<const double> weights, double q) noexcept {
    const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
    if (all <= 0) return std::nullopt;
    constexpr double us_per_ms = 1000;
    const double wanted = q * all;
    double below = 0;
    for (std::size_t i = 0; i < bounds_us.size() && i < weights.size(); ++i) {
        if (weights[i] > 0 && below + weights[i] >= wanted) {
            const double from = i == 0 ? 0 : static_cast<double>(bounds_us[i - 1]);
            const double to = static_cast<double>(bounds_us[i]);
            return (from + (to - from) * (wanted - below) / weights[i]) / us_per_ms;
        }
        below += weights[i];
    }
    return static_cast<double>(bounds_us.back()) / us_per_ms;  // at least that
}

RouteTotals& RouteTotals::operator+=(const RouteCells& cells) {
    add(closed, cells.closed);
    setup += cells.setup;
    return *this;
}

RouteTotals& RouteTotals::operator+=(const RouteTotals& other) {
    add(closed, other.closed);
    setup += other.setup;
    return *this;
}

ListenerTotals& ListenerTotals::operator+=(const ListenerCells& cells) {
    // Ends before beginnings: nobody sees more connections closed than accepted.
    add(closed, cells.closed);
    duration += cells.duration;
    add(handshakes, cells.handshakes);
    handshake_time += cells.handshake_time;
    accepted += cells.accepted.value();
    bytes_to_backend += cells.bytes_to_backend.value();
    bytes_to_client += cells.bytes_to_client.value();
    add(accept_errors, cells.accept_errors);
    add(let_pass, cells.let_pass);
    return *this;
}

ListenerTotals& ListenerTotals::operator+=(const ListenerTotals& other) {
    add(closed, other.closed);
    duration += other.duration;
    add(handshakes, other.handshakes);
    handshake_time += other.handshake_time;
    accepted += other.accepted;
    bytes_to_backend += other.bytes_to_backend;
    bytes_to_client += other.bytes_to_client;
    add(accept_errors, other.accept_errors);
    add(let_pass, other.let_pass);
    return *this;
}

UpstreamTotals& UpstreamTotals::operator+=(const UpstreamCells& cells) {
    queued += cells.queued.value();
    held += cells.held.value();
    retries += cells.retries.value();
    retries_denied += cells.retries_denied.value();
    panic_picks += cells.panic_picks.value();
    no_port += cells.no_port.value();
    warm_used += cells.warm_used.value();
    warm_given_up += cells.warm_given_up.value();
    warm_failed += cells.warm_failed.value();
    waited += cells.waited;
    return *this;
}

UpstreamTotals& UpstreamTotals::operator+=(const UpstreamTotals& other) {
    queued += other.queued;
    held += other.held;
    retries += other.retries;
    retries_denied += other.retries_denied;
    panic_picks += other.panic_picks;
    no_port += other.no_port;
    warm_used += other.warm_used;
    warm_given_up += other.warm_given_up;
    warm_failed += other.warm_failed;
    waited += other.waited;
    return *this;
}

BackendTotals& BackendTotals::operator+=(const BackendCells& cells) {
    bytes_to_backend += cells.bytes_to_backend.value();
    bytes_to_client += cells.bytes_to_client.value();
    established += cells.established.value();
    add(closed, cells.closed);
    add(connect_failures, cells.connect_failures);
    add(warm, cells.warm);
    connect += cells.connect;
    first_byte += cells.first_byte;
    return *this;
}

BackendTotals& BackendTotals::operator+=(const VerdictCells& cells) {
    checks_ok += cells.checks_ok.value();
    checks_failed += cells.checks_failed.value();
    went_up += cells.went_up.value();
    went_down += cells.went_down.value();
    add(circuit_opened, cells.circuit_opened);
    add(circuit_would_open, cells.circuit_would_open);
    check += cells.check;
    return *this;
}

BackendTotals& BackendTotals::operator+=(const BackendTotals& other) {
    bytes_to_backend += other.bytes_to_backend;
    bytes_to_client += other.bytes_to_client;
    established += other.established;
    add(closed, other.closed);
    add(connect_failures, other.connect_failures);
    add(warm, other.warm);
    connect += other.connect;
    first_byte += other.first_byte;
    checks_ok += other.checks_ok;
    checks_failed += other.checks_failed;
    went_up += other.went_up;
    went_down += other.went_down;
    add(circuit_opened, other.circuit_opened);
    add(circuit_would_open, other.circuit_would_open);
    check += other.check;
    return *this;
}

WorkerTotals& WorkerTotals::operator+=(const WorkerCells& cells) {
    log_lines += cells.log_lines.value();
    log_dropped += cells.log_dropped.value();
    log_suppressed += cells.log_suppressed.value();
    accept_pauses += cells.accept_pauses.value();
    handed_off += cells.handed_off.value();
    busy_us += cells.busy_us.value();
    lag += cells.lag;
    return *this;
}

WorkerTotals& WorkerTotals::operator+=(const WorkerTotals& other) {
    log_lines += other.log_lines;
    log_dropped += other.log_dropped;
    log_suppressed += other.log_suppressed;
    accept_pauses += other.accept_pauses;
    handed_off += other.handed_off;
    busy_us += other.busy_us;
    lag += other.lag;
    return *this;
}

}  // namespace penstock::metrics
