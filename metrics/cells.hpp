#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "base/close_reason.hpp"

namespace penstock::metrics {

/// A counter with one writer thread and any number of readers. An increment is a plain addition: no
/// lock, no locked instruction.
class Counter {
public:
    void add(std::uint64_t n = 1) noexcept {
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t value() const noexcept {
        return value_.load(std::memory_order_relaxed);
    }

private:
    std::atomic<std::uint64_t> value_{0};
};

/// What one worker counts for one listener.
struct alignas(64) ListenerCells {
    Counter accepted;
    Counter accept_errors;
    Counter bytes_to_backend;
    Counter bytes_to_client;
    std::array<Counter, close_reason_count> closed;
    std::array<Counter, close_reason_count> let_pass;  // would have been refused: dry run

    [[nodiscard]] Counter& closed_by(CloseReason reason) noexcept {
        return closed[std::to_underlying(reason)];
    }
    [[nodiscard]] Counter& would_refuse(CloseReason reason) noexcept {
        return let_pass[std::to_underlying(reason)];
    }
};

/// What one worker counts for one upstream.
struct alignas(64) UpstreamCells {
    Counter queued;  // sessions that had to wait for a slot
    Counter held;  // sessions that had to wait for a backend
    Counter retries;
    Counter retries_denied;  // over the budget
    Counter no_port;  // a local address had no port left for a backend
    Counter warm_used;
    Counter warm_given_up;  // closed because a session needed the slot
    Counter warm_failed;  // could not be opened, or ended while idle
};

/// What one worker counts for itself.
struct alignas(64) WorkerCells {
    Counter log_lines;
    Counter log_dropped;  // no buffer was free: the writer or the disk was too slow
    Counter log_suppressed;  // left out under a flood of refusals
    Counter accept_pauses;  // descriptors or slots were exhausted
    Counter handed_off;  // fresh connections given to a less loaded worker
};

}  // namespace penstock::metrics
