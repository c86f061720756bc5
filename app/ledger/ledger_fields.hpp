#pragma once

#include <utility>

#include "app/ledger/json_fields.hpp"
#include "app/ledger/ledger.hpp"
#include "base/attempt_error.hpp"
#include "base/close_reason.hpp"
#include "metrics/cells.hpp"

/// The names of everything that is counted, as processes tell each other (json_fields.hpp). A name
/// stays what it is; what is no longer counted leaves its name unused.
namespace penstock::app {

/// What is added to a struct has to be named here as well.
template <typename T>
constexpr bool has_grown(std::size_t counters, std::size_t histograms) {
    return sizeof(T) !=
           counters * sizeof(std::uint64_t) + histograms * sizeof(metrics::HistogramTotals);
}
static_assert(!has_grown<metrics::RouteTotals>(close_reason_count, 1));
static_assert(!has_grown<metrics::ListenerTotals>(
    3 + metrics::accept_error_count + 2 * close_reason_count + metrics::handshake_count, 2));
static_assert(!has_grown<metrics::UpstreamTotals>(9, 1));
static_assert(!has_grown<metrics::BackendTotals>(7 + close_class_count + attempt_error_count +
                                                     metrics::warm_result_count +
                                                     2 * metrics::circuit_cause_count,
                                                 3));
static_assert(!has_grown<metrics::WorkerTotals>(6, 1));
static_assert(!has_grown<ProcessTotals>(6, 0));
static_assert(!has_grown<LookupTotals>(2, 0));
static_assert(!has_grown<Gauges::Upstream>(3, 0));
static_assert(!has_grown<Gauges::Backend>(3, 0));

/// The name of the i-th value of an enumeration.
template <typename Enum>
constexpr auto nth_name = [](std::size_t i) { return name_of(static_cast<Enum>(i)); };

template <typename A>
void key_fields(A& archive, typename A::template Of<BackendName>& name) {
    archive("upstream", name.upstream);
    archive("backend", name.backend);
}

template <typename A>
void key_fields(A& archive, typename A::template Of<SourceName>& name) {
    archive("upstream", name.upstream);
    archive("address", name.address);
}

template <typename A>
void key_fields(A& archive, typename A::template Of<unsigned>& number) {
    archive("number", number);
}

template <typename A>
void fields(A& archive, typename A::template Of<metrics::RouteTotals>& totals) {
    archive.by_name("closed", totals.closed, nth_name<CloseReason>);
    archive.histogram("setup", totals.setup, metrics::wait_bounds_us);
}

template <typename A>
void fields(A& archive, typename A::template Of<Ledger::Listener>& listener) {
    auto& totals = listener.totals;
    archive("accepted", totals.accepted);
    archive("bytes_to_backend", totals.bytes_to_backend);
    archive("bytes_to_client", totals.bytes_to_client);
    archive.by_name("accept_errors", totals.accept_errors, nth_name<metrics::AcceptError>);
    archive.by_name("closed", totals.closed, nth_name<CloseReason>);
    archive.by_name("let_pass", totals.let_pass, nth_name<CloseReason>);
    archive.histogram("duration", totals.duration, metrics::life_bounds_us);
    archive.by_name("handshakes", totals.handshakes, nth_name<metrics::Handshake>);
    archive.histogram("handshake_time", totals.handshake_time, metrics::wait_bounds_us);
    archive("routes", listener.routes);
}

template <typename A>
void fields(A& archive, typename A::template Of<metrics::UpstreamTotals>& totals) {
    archive("queued", totals.queued);
    archive("held", totals.held);
    archive("retries", totals.retries);
    archive("retries_denied", totals.retries_denied);
    archive("panic_picks", totals.panic_picks);
    archive("no_port", totals.no_port);
    archive("warm_used", totals.warm_used);
    archive("warm_given_up", totals.warm_given_up);
    archive("warm_failed", totals.warm_failed);
    archive.histogram("waited", totals.waited, metrics::wait_bounds_us);
}

template <typename A>
void fields(A& archive, typename A::template Of<LookupTotals>& totals) {
    archive("succeeded", totals.succeeded);
    archive("failed", totals.failed);
}

template <typename A>
void fields(A& archive, typename A::template Of<metrics::BackendTotals>& totals) {
    archive("bytes_to_backend", totals.bytes_to_backend);
    archive("bytes_to_client", totals.bytes_to_client);
    archive("established", totals.established);
    archive.by_name("closed", totals.closed, nth_name<CloseClass>);
    archive.by_name("connect_failures", totals.connect_failures, nth_name<AttemptError>);
    archive.by_name("warm", totals.warm, nth_name<metrics::WarmResult>);
    archive.histogram("connect", totals.connect, metrics::wait_bounds_us);
    archive.histogram("first_byte", totals.first_byte, metrics::wait_bounds_us);
    archive("checks_ok", totals.checks_ok);
    archive("checks_failed", totals.checks_failed);
    archive("went_up", totals.went_up);
    archive("went_down", totals.went_down);
    archive.by_name("circuit_opened", totals.circuit_opened, nth_name<metrics::CircuitCause>);
    archive.by_name("circuit_would_open", totals.circuit_would_open,
                    nth_name<metrics::CircuitCause>);
    archive.histogram("check", totals.check, metrics::wait_bounds_us);
}

template <typename A>
void fields(A& archive, typename A::template Of<metrics::WorkerTotals>& totals) {
    archive("log_lines", totals.log_lines);
    archive("log_dropped", totals.log_dropped);
    archive("log_suppressed", totals.log_suppressed);
    archive("accept_pauses", totals.accept_pauses);
    archive("handed_off", totals.handed_off);
    archive("busy_us", totals.busy_us);
    archive.histogram("lag", totals.lag, metrics::wait_bounds_us);
}

template <typename A>
void fields(A& archive, typename A::template Of<ProcessTotals>& totals) {
    archive("access_log_lines", totals.access_log_lines);
    archive("access_log_dropped", totals.access_log_dropped);
    archive("access_log_suppressed", totals.access_log_suppressed);
    archive("log_dropped", totals.log_dropped);
    archive("reloads_succeeded", totals.reloads_succeeded);
    archive("reloads_failed", totals.reloads_failed);
}

template <typename A>
void fields(A& archive, typename A::template Of<Ledger>& ledger) {
    archive("listeners", ledger.listeners);
    archive("upstreams", ledger.upstreams);
    archive("lookups", ledger.lookups);
    archive("backends", ledger.backends);
    archive("workers", ledger.workers);
    archive("process", ledger.process);
}

template <typename A>
void fields(A& archive, typename A::template Of<Gauges::Upstream>& gauges) {
    archive("connections", gauges.connections);
    archive("queued", gauges.queued);
    archive("held", gauges.held);
}

template <typename A>
void fields(A& archive, typename A::template Of<Gauges::Backend>& gauges) {
    archive("active", gauges.active);
    archive("connecting", gauges.connecting);
    archive("warm", gauges.warm);
}

template <typename A>
void fields(A& archive, typename A::template Of<Gauges>& gauges) {
    archive("connections", gauges.connections);
    archive("listeners", gauges.listeners);
    archive("upstreams", gauges.upstreams);
    archive("backends", gauges.backends);
    archive("sources", gauges.sources);
    archive("workers", gauges.workers);
}

}  // namespace penstock::app
