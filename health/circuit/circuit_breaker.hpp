#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "balancer/outcomes.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"
#include "config/config.hpp"
#include "health/circuit/outcome_window.hpp"
#include "metrics/cells.hpp"

namespace penstock::health {

/// The verdict of real connections on one backend. It says what it would like to do; whoever owns
/// it decides (max_open_share), says so with open(), half_open() or close(), and turns the
/// backend's balancer::Circuit alike. Pure; one owner thread.
///
/// The n-th opening in a row lasts min(max, base * 2^(n-1)), longer by up to 10 %, but never longer
/// than max (there it is shorter by up to 10 % instead, so that circuits do not keep step). Once it
/// is closed, each such time that passes takes one opening off the row.
class CircuitBreaker {
public:
    enum class Wish : std::uint8_t {
        nothing,
        open,  // a threshold was reached, or a trial failed
        half_open,  // the time is over; or, half-open already: the trials' time is, permits anew
        close,  // all trials succeeded
        would_open,  // dry_run: the same as open, but nothing turns
    };

    /// After this a trial's permit is free again: what became of a connection is known at the
    /// latest 10 s after it was made (plus a little, since the counters are read now and then).
    static constexpr Duration trial_slack = std::chrono::seconds(12);
    static constexpr double max_jitter = 0.1;

    /// `settings` must outlive the object, and may change where they are: then configure().
    /// `counted` is what the backend's counters show already.
    CircuitBreaker(const config::CircuitBreaker& settings, Duration connect_timeout,
                   const balancer::OutcomeTotals& counted) noexcept;

    /// The settings have changed; its state stays.
    void configure(Duration connect_timeout) noexcept;

    [[nodiscard]] Wish on_outcomes(const balancer::OutcomeTotals& totals, TimePoint now,
                                   Random& random);
    [[nodiscard]] Wish on_timer(TimePoint now) const noexcept;

    void open(TimePoint now, Random& random) noexcept;
    void half_open(TimePoint now) noexcept;
    void close(TimePoint now) noexcept;

    [[nodiscard]] balancer::CircuitState state() const noexcept { return state_; }
    /// When on_timer() is due; no_deadline while closed.
    [[nodiscard]] TimePoint next_timer() const noexcept { return until_; }
    /// How long it is, or would be, open this time.
    [[nodiscard]] Duration open_time() const noexcept { return open_time_; }
    /// How many trials half_open() asks for: those that have not succeeded yet.
    [[nodiscard]] std::uint32_t trials_wanted() const noexcept;
    /// Openings in a row, as they count for the next one's time.
    [[nodiscard]] std::uint32_t row(TimePoint now) noexcept;
    /// Some threshold is still reached: it is closed, but should not be.
    [[nodiscard]] bool should_be_open() const noexcept { return reached_; }
    /// What made it want to open: `5 connections in a row failed`.
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
    [[nodiscard]] metrics::CircuitCause cause() const noexcept { return cause_; }

private:
    [[nodiscard]] Wish on_trials(const balancer::Circuit::Trials& trials, TimePoint now);
    [[nodiscard]] bool threshold_reached(std::uint32_t in_a_row, TimePoint now);
    [[nodiscard]] Duration time_of(std::uint32_t row) const noexcept;
    void lengthen(TimePoint now, Random& random) noexcept;

    const config::CircuitBreaker& settings_;
    std::uint32_t trials_ = 1;  // that close it
    Duration trial_time_{};
    OutcomeWindow window_;
    std::uint64_t successes_;  // of the counters, when last told
    std::uint64_t failures_;
    balancer::CircuitState state_ = balancer::CircuitState::closed;
    TimePoint until_ = no_deadline;
    Duration open_time_{};
    std::uint32_t row_ = 0;
    TimePoint row_since_{};  // from here the row falls back
    TimePoint quiet_until_ = TimePoint::min();  // dry_run: it would be open until then
    std::uint32_t permits_ = 0;  // half-open: given out with the current generation
    std::uint32_t most_taken_ = 0;  // of them, as far as was seen
    std::uint32_t succeeded_ = 0;  // trials, in this generation
    std::uint32_t kept_ = 0;  // in those before
    bool reached_ = false;
    std::string reason_;
    metrics::CircuitCause cause_ = metrics::CircuitCause::consecutive_failures;
};

}  // namespace penstock::health
