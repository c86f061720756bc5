#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace penstock::balancer {

enum class CircuitState : std::uint8_t { closed, open, half_open };

/// What a connection carries from try_pass() to its outcome; small, as each of them does.
struct CircuitPass {
    std::uint32_t generation : 31 = 0;
    bool trial : 1 = false;
};

/// The switch of a backend's circuit breaker, in one 64-bit word: state, generation, and while
/// half-open how many trial permits are left and how the trials went. The control thread switches
/// it; workers only pass it and report. Each switch begins a new generation: what belongs to an
/// older one is ignored, so that a permit that got lost is back, and an outcome that comes late
/// counts for nothing.
class Circuit {
public:
    static constexpr std::uint32_t max_trials = 1023;

    struct Trials {
        std::uint32_t left = 0;
        std::uint32_t succeeded = 0;
        std::uint32_t failed = 0;
    };

    // Any thread.

    /// Closed: yes. Half-open: yes if a trial permit was left, which is taken. Open: no.
    [[nodiscard]] std::optional<CircuitPass> try_pass() noexcept;
    /// As try_pass(), but never no: without a permit the connection is none of the breaker's
    /// business (its outcome is not counted).
    [[nodiscard]] CircuitPass pass_anyway() noexcept;
    /// For a connection that is no client's: its outcome counts as long as the circuit stays as it
    /// is now, and takes no permit.
    [[nodiscard]] CircuitPass observe() const noexcept;
    /// What try_pass() would say.
    [[nodiscard]] bool passable() const noexcept;
    /// The connection came to nothing that says anything: a trial permit is free again.
    void give_back(CircuitPass pass) noexcept;
    /// The outcome of a trial. False if it came too late.
    bool finish_trial(CircuitPass pass, bool success) noexcept;
    /// Whether an outcome that carries `pass` still counts.
    [[nodiscard]] bool is_current(CircuitPass pass) const noexcept;

    [[nodiscard]] CircuitState state() const noexcept;
    [[nodiscard]] Trials trials() const noexcept;

    // Control thread only.

    void close() noexcept;
    void open() noexcept;
    /// `trials` connections may try; 1 to max_trials. Again while half-open: all permits anew.
    void half_open(std::uint32_t trials) noexcept;

private:
    void switch_to(CircuitState state, std::uint32_t trials) noexcept;

    std::atomic<std::uint64_t> word_{0};
};

}  // namespace penstock::balancer
