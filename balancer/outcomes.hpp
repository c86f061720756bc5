#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <utility>

#include "balancer/circuit.hpp"

namespace penstock::balancer {

/// How a connection to a backend failed, where that says something about the backend.
enum class Failure : std::uint8_t { refused, timeout, unreachable, tls, early_reset, other };
inline constexpr std::size_t failure_count = 6;

/// What the outcomes of real connections add up to.
struct OutcomeTotals {
    std::uint64_t successes = 0;
    std::array<std::uint64_t, failure_count> failures{};
    std::uint32_t consecutive = 0;  // failures since the last success
    Circuit::Trials trials{};

    [[nodiscard]] std::uint64_t failed() const noexcept {
        std::uint64_t sum = 0;
        for (const std::uint64_t n : failures) sum += n;
        return sum;
    }
};

/// The outcomes of one backend's connections, over all workers, and the switch that its breaker
/// turns. Workers count; the control thread reads and decides.
class Outcomes {
public:
    [[nodiscard]] Circuit& circuit() noexcept { return circuit_; }
    [[nodiscard]] const Circuit& circuit() const noexcept { return circuit_; }

    // Workers. What carries an old pass is not counted. True: the control thread has to look now
    // (a trial has ended, or the threshold of consecutive failures was reached); said once, until
    // totals() is read.

    [[nodiscard]] bool succeeded(CircuitPass pass) noexcept {
        if (!circuit_.is_current(pass)) return false;
        successes_.fetch_add(1, std::memory_order_relaxed);
        // Written only when it changes: healthy backends share no dirty line for it.
        if (consecutive_.load(std::memory_order_relaxed) != 0)
            consecutive_.store(0, std::memory_order_relaxed);
        return pass.trial && circuit_.finish_trial(pass, true) && alarm();
    }

    [[nodiscard]] bool failed(CircuitPass pass, Failure how) noexcept {
        if (!circuit_.is_current(pass)) return false;
        failures_[std::to_underlying(how)].fetch_add(1, std::memory_order_relaxed);
        const auto in_a_row = consecutive_.fetch_add(1, std::memory_order_relaxed) + 1;
        if (pass.trial) return circuit_.finish_trial(pass, false) && alarm();
        return in_a_row >= alarm_at_.load(std::memory_order_relaxed) && alarm();
    }

    // Control thread.

    /// `n` failures in a row are worth an alarm; 0 = never.
    void set_alarm(std::uint32_t n) noexcept {
        alarm_at_.store(n == 0 ? std::numeric_limits<std::uint32_t>::max() : n,
                        std::memory_order_relaxed);
    }
    /// Ends an alarm.
    [[nodiscard]] OutcomeTotals totals() noexcept {
        alarmed_.store(false);
        OutcomeTotals totals{.successes = successes_.load(std::memory_order_relaxed),
                             .consecutive = consecutive_.load(std::memory_order_relaxed),
                             .trials = circuit_.trials()};
        for (std::size_t i = 0; i < failure_count; ++i)
            totals.failures[i] = failures_[i].load(std::memory_order_relaxed);
        return totals;
    }
    /// The row of failures is over: the breaker has turned.
    void forget_row() noexcept { consecutive_.store(0, std::memory_order_relaxed); }

private:
    [[nodiscard]] bool alarm() noexcept { return !alarmed_.exchange(true); }

    Circuit circuit_;
    std::atomic<std::uint32_t> consecutive_{0};
    std::atomic<std::uint32_t> alarm_at_{std::numeric_limits<std::uint32_t>::max()};
    std::atomic<bool> alarmed_{false};
    alignas(64) std::atomic<std::uint64_t> successes_{0};
    std::array<std::atomic<std::uint64_t>, failure_count> failures_{};
};

}  // namespace penstock::balancer
