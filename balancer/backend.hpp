#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "balancer/outcomes.hpp"
#include "balancer/peak_ewma.hpp"
#include "balancer/slot_limiter.hpp"
#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "metrics/cells.hpp"

namespace penstock::balancer {

/// What one server may be asked for at a time, over all workers; 0 = unlimited.
struct BackendLimits {
    std::uint64_t connections = 0;  // sessions and warm connections together
    std::uint64_t connecting = 0;   // sockets that are not connected yet
};

/// One server of an upstream: its identity (upstream, name, address, host) and the counters that
/// all workers share. Made by std::make_shared; lives as long as a set or a session refers to it.
/// The identity is immutable; the atomics may be touched from any thread.
class Backend : public std::enable_shared_from_this<Backend> {
public:
    /// `workers`: how many count for it, each in cells of its own. `host`: the host name it was
    /// found under; "" = none.
    Backend(std::string upstream, std::string name, Endpoint address, BackendLimits limits = {},
            std::size_t workers = 1, std::string host = {})
        : upstream_(std::move(upstream)),
          name_(std::move(name)),
          address_(std::move(address)),
          address_text_(address_.to_string()),
          host_(std::move(host)),
          slots_(limits.connections),
          connecting_(limits.connecting),
          cells_(workers) {}
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    [[nodiscard]] const std::string& upstream() const noexcept { return upstream_; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const Endpoint& address() const noexcept { return address_; }
    [[nodiscard]] const std::string& address_text() const noexcept { return address_text_; }
    /// What its certificate may name.
    [[nodiscard]] const std::string& host() const noexcept { return host_; }

    /// One for each connection to it, warm ones included.
    [[nodiscard]] SlotLimiter& slots() noexcept { return slots_; }
    [[nodiscard]] const SlotLimiter& slots() const noexcept { return slots_; }
    /// One for each attempt to connect to it.
    [[nodiscard]] SlotLimiter& connecting() noexcept { return connecting_; }
    [[nodiscard]] const SlotLimiter& connecting() const noexcept { return connecting_; }
    /// It has a limit, and that is reached.
    [[nodiscard]] bool full() const noexcept { return slots_.full() || connecting_.full(); }

    /// Sessions that hold this backend, connecting ones included; over all workers.
    [[nodiscard]] std::uint32_t active() const noexcept {
        return active_.load(std::memory_order_relaxed);
    }
    void session_started() noexcept { active_.fetch_add(1, std::memory_order_relaxed); }
    void session_ended() noexcept { active_.fetch_sub(1, std::memory_order_relaxed); }

    /// What least_latency knows of it.
    [[nodiscard]] PeakEwma& latency() noexcept { return latency_; }
    [[nodiscard]] const PeakEwma& latency() const noexcept { return latency_; }

    /// How its connections went, and the switch of its circuit breaker.
    [[nodiscard]] Outcomes& outcomes() noexcept { return outcomes_; }
    [[nodiscard]] const Outcomes& outcomes() const noexcept { return outcomes_; }
    [[nodiscard]] Circuit& circuit() noexcept { return outcomes_.circuit(); }

    /// What worker `i` counts; only that worker adds to it, any thread reads.
    [[nodiscard]] metrics::BackendCells& cells(std::size_t i) noexcept { return cells_[i]; }
    [[nodiscard]] const std::vector<metrics::BackendCells>& cells() const noexcept {
        return cells_;
    }
    /// What the control thread counts.
    [[nodiscard]] metrics::VerdictCells& verdict_cells() noexcept { return verdict_cells_; }
    [[nodiscard]] const metrics::VerdictCells& verdict_cells() const noexcept {
        return verdict_cells_;
    }

    /// It has recovered, or is new: where slow start is configured, its weight grows from now on.
    /// Before a selector is told that it is available, or is made.
    void start_slowly(TimePoint now) noexcept {
        slow_since_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    }
    /// When start_slowly() was last called, if ever.
    [[nodiscard]] std::optional<TimePoint> slow_since() const noexcept {
        const auto since = slow_since_.load(std::memory_order_relaxed);
        if (since == at_full_weight) return std::nullopt;
        return TimePoint(Duration(since));
    }

private:
    static constexpr Duration::rep at_full_weight = Duration::min().count();

    std::string upstream_;
    std::string name_;
    Endpoint address_;
    std::string address_text_;
    std::string host_;
    SlotLimiter slots_;
    SlotLimiter connecting_;
    std::vector<metrics::BackendCells> cells_;
    metrics::VerdictCells verdict_cells_;
    alignas(64) std::atomic<std::uint32_t> active_{0};
    PeakEwma latency_;
    Outcomes outcomes_;
    std::atomic<Duration::rep> slow_since_{at_full_weight};
};

}  // namespace penstock::balancer
