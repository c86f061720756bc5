#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "metrics/cells.hpp"

namespace penstock::metrics {

/// The cells of several workers added up: plain numbers, as they were a moment ago. Sums of
/// counters that only grow never go backwards.
struct HistogramTotals {
    std::span<const std::uint64_t> bounds_us{};
    std::vector<std::uint64_t> counts{};  // one more than bounds; empty = nothing was added
    std::uint64_t sum_us = 0;

    [[nodiscard]] std::uint64_t count() const noexcept;

    template <const auto& bounds>
    HistogramTotals& operator+=(const Histogram<bounds>& cells) {
        make_room(bounds);
        for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += cells.bucket(i);
        sum_us += cells.sum_us();
        return *this;
    }
    /// Of another build of the program, the bounds may be others: then each of its buckets goes to
    /// the first of these that holds all of it. Sum and count are right in any case.
    HistogramTotals& operator+=(const HistogramTotals& other);

private:
    void make_room(std::span<const std::uint64_t> bounds);
};

/// The value that a share `q` (0 to 1) of the durations does not exceed, in milliseconds, from
/// weights per bucket; within a bucket they are taken as evenly spread. Nothing without weights.
[[nodiscard]] std::optional<double> quantile_ms(std::span<const std::uint64_t> bounds_us,
                                                std::span<const double> weights, double q) noexcept;

struct RouteTotals {
    std::array<std::uint64_t, close_reason_count> closed{};
    HistogramTotals setup{};

    RouteTotals& operator+=(const RouteCells& cells);
    RouteTotals& operator+=(const RouteTotals& other);
};

struct ListenerTotals {
    std::uint64_t accepted = 0;
    std::uint64_t bytes_to_backend = 0;
    std::uint64_t bytes_to_client = 0;
    std::array<std::uint64_t, accept_error_count> accept_errors{};
    std::array<std::uint64_t, close_reason_count> closed{};  // without an upstream
    std::array<std::uint64_t, close_reason_count> let_pass{};
    HistogramTotals duration{};
    std::array<std::uint64_t, handshake_count> handshakes{};
    HistogramTotals handshake_time{};

    ListenerTotals& operator+=(const ListenerCells& cells);
    ListenerTotals& operator+=(const ListenerTotals& other);
};

struct UpstreamTotals {
    std::uint64_t queued = 0;
    std::uint64_t held = 0;
    std::uint64_t retries = 0;
    std::uint64_t retries_denied = 0;
    std::uint64_t panic_picks = 0;
    std::uint64_t no_port = 0;
    std::uint64_t warm_used = 0;
    std::uint64_t warm_given_up = 0;
    std::uint64_t warm_failed = 0;
    HistogramTotals waited{};

    UpstreamTotals& operator+=(const UpstreamCells& cells);
    UpstreamTotals& operator+=(const UpstreamTotals& other);
};

struct BackendTotals {
    std::uint64_t bytes_to_backend = 0;
    std::uint64_t bytes_to_client = 0;
    std::uint64_t established = 0;
    std::array<std::uint64_t, close_class_count> closed{};
    std::array<std::uint64_t, attempt_error_count> connect_failures{};
    std::array<std::uint64_t, warm_result_count> warm{};
    HistogramTotals connect{};
    HistogramTotals first_byte{};

    // Of health.
    std::uint64_t checks_ok = 0;
    std::uint64_t checks_failed = 0;
    std::uint64_t went_up = 0;
    std::uint64_t went_down = 0;
    std::array<std::uint64_t, circuit_cause_count> circuit_opened{};
    std::array<std::uint64_t, circuit_cause_count> circuit_would_open{};
    HistogramTotals check{};

    BackendTotals& operator+=(const BackendCells& cells);
    BackendTotals& operator+=(const VerdictCells& cells);
    BackendTotals& operator+=(const BackendTotals& other);
};

struct WorkerTotals {
    std::uint64_t log_lines = 0;
    std::uint64_t log_dropped = 0;
    std::uint64_t log_suppressed = 0;
    std::uint64_t accept_pauses = 0;
    std::uint64_t handed_off = 0;
    std::uint64_t busy_us = 0;
    HistogramTotals lag{};

    WorkerTotals& operator+=(const WorkerCells& cells);
    WorkerTotals& operator+=(const WorkerTotals& other);
};

/// Adds the counters of an array to plain numbers, place by place.
template <std::size_t n>
void add(std::array<std::uint64_t, n>& totals, const std::array<Counter, n>& cells) noexcept {
    for (std::size_t i = 0; i < n; ++i) totals[i] += cells[i].value();
}
template <std::size_t n>
void add(std::array<std::uint64_t, n>& totals,
         const std::array<std::uint64_t, n>& others) noexcept {
    for (std::size_t i = 0; i < n; ++i) totals[i] += others[i];
}

}  // namespace penstock::metrics
