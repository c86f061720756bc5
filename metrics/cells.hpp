#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/attempt_error.hpp"
#include "base/close_reason.hpp"
#include "metrics/counter.hpp"
#include "metrics/histogram.hpp"

namespace penstock::metrics {

/// Why accept() failed.
enum class AcceptError : std::uint8_t { no_fd, no_memory, aborted, broken, other };
inline constexpr std::size_t accept_error_count = 5;

/// What one worker counts for the clients of a listener that went to one upstream.
struct RouteCells {
    std::array<Counter, close_reason_count> closed;
    WaitHistogram setup;  // accepted until the backend connection is ready
};

/// How a handshake with a client ended.
enum class Handshake : std::uint8_t { full, resumed, failed, timeout };
inline constexpr std::size_t handshake_count = 4;

/// What one worker counts for one listener.
struct alignas(64) ListenerCells {
    Counter accepted;
    Counter bytes_to_backend;
    Counter bytes_to_client;
    std::array<Counter, accept_error_count> accept_errors;
    std::array<Counter, close_reason_count> closed;  // of clients that got no upstream
    std::array<Counter, close_reason_count> let_pass;  // would have been refused: dry run
    LifeHistogram duration;
    std::array<Counter, handshake_count> handshakes;
    WaitHistogram handshake_time;  // of those that succeeded

    [[nodiscard]] Counter& handshake(Handshake how) noexcept {
        return handshakes[std::to_underlying(how)];
    }
    [[nodiscard]] Counter& closed_by(CloseReason reason) noexcept {
        return closed[std::to_underlying(reason)];
    }
    [[nodiscard]] Counter& would_refuse(CloseReason reason) noexcept {
        return let_pass[std::to_underlying(reason)];
    }
    [[nodiscard]] Counter& accept_error(AcceptError error) noexcept {
        return accept_errors[std::to_underlying(error)];
    }
};

/// What one worker counts for one upstream.
struct alignas(64) UpstreamCells {
    Counter queued;  // sessions that had to wait for a slot
    Counter held;  // sessions that had to wait for a backend
    Counter retries;
    Counter retries_denied;  // over the budget
    Counter panic_picks;
    Counter no_port;  // a local address had no port left for a backend
    Counter warm_used;
    Counter warm_given_up;  // closed because a session needed the slot
    Counter warm_failed;  // could not be opened, or ended while idle
    WaitHistogram waited;  // of those that were queued or held
};

/// What one worker counts for one source address of an upstream.
struct alignas(64) SourceCells {
    Gauge open;  // connections to backends, those being made and warm ones included
};

/// How a session fared with its upstream's warm connections to its backend, and how these ended.
enum class WarmResult : std::uint8_t { hit, miss, expired, dead };
inline constexpr std::size_t warm_result_count = 4;

/// What one worker counts for one backend.
struct alignas(64) BackendCells {
    Counter bytes_to_backend;
    Counter bytes_to_client;
    Counter established;  // connections, warm ones included
    std::array<Counter, close_class_count> closed;  // sessions that had their connection
    std::array<Counter, attempt_error_count> connect_failures;
    std::array<Counter, warm_result_count> warm;
    WaitHistogram connect;
    WaitHistogram first_byte;

    [[nodiscard]] Counter& failed_by(AttemptError error) noexcept {
        return connect_failures[std::to_underlying(error)];
    }
    [[nodiscard]] Counter& warm_was(WarmResult result) noexcept {
        return warm[std::to_underlying(result)];
    }
};

/// What made a circuit open.
enum class CircuitCause : std::uint8_t { consecutive_failures, failure_rate, trial_failed };
inline constexpr std::size_t circuit_cause_count = 3;

/// What health counts for one backend; its one writer is the control thread.
struct alignas(64) VerdictCells {
    Counter checks_ok;
    Counter checks_failed;
    Counter went_up;
    Counter went_down;
    std::array<Counter, circuit_cause_count> circuit_opened;
    std::array<Counter, circuit_cause_count> circuit_would_open;
    WaitHistogram check;
};

/// What one worker counts for itself.
struct alignas(64) WorkerCells {
    Counter log_lines;
    Counter log_dropped;  // no buffer was free: the writer or the disk was too slow
    Counter log_suppressed;  // left out under a flood of refusals
    Counter accept_pauses;  // descriptors or slots were exhausted
    Counter handed_off;  // fresh connections given to a less loaded worker
    Counter busy_us;
    WaitHistogram lag;  // how long a turn of the loop kept later events waiting
};

[[nodiscard]] std::string_view name_of(AcceptError error) noexcept;
[[nodiscard]] std::string_view name_of(WarmResult result) noexcept;
[[nodiscard]] std::string_view name_of(Handshake result) noexcept;
[[nodiscard]] std::string_view name_of(CircuitCause cause) noexcept;

}  // namespace penstock::metrics
