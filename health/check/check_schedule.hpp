#pragma once

#include <cstdint>

#include "base/backoff.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"
#include "config/config.hpp"

namespace penstock::health {

/// When the checks of one backend start. Intervals count from start to start, each longer or
/// shorter by up to the share `jitter`; a check never starts before the one before it has ended.
/// The first interval of a steady row is a random part of it: backends that came or recovered
/// together are not checked together from then on. Pure; one owner thread.
class CheckSchedule {
public:
    /// What the last result says about the next interval.
    enum class Pace : std::uint8_t {
        steady,        // interval
        transitional,  // fast_interval
        down,          // down_interval: exponential, full jitter
    };

    /// `settings` must outlive the object, and may change where they are: then configure().
    explicit CheckSchedule(const config::HealthCheck& settings) noexcept;

    /// The first check comes within `spread` of now: who is added together does not check together.
    void start(TimePoint now, Duration spread, Random& random) noexcept;
    /// The settings have changed: one that waits for its next check does so by their interval.
    void configure(TimePoint now, Random& random) noexcept;
    /// No checks until start().
    void stop() noexcept;
    void on_started(TimePoint now) noexcept;
    void on_ended(Pace pace, TimePoint now, Random& random) noexcept;
    /// The thread stood still for `late`. A check that it missed comes at a random moment within
    /// the interval (no more than `late`) from now, lest all that were missed come at once; for one
    /// that runs that time does not count.
    void on_stall(Duration late, TimePoint now, Random& random) noexcept;

    /// When the next check starts; no_deadline while one runs, and after stop().
    [[nodiscard]] TimePoint next() const noexcept { return next_; }
    [[nodiscard]] bool running() const noexcept { return running_; }
    /// The longest that the pause after the next failed check could be while the backend is down.
    [[nodiscard]] Duration down_limit() const noexcept { return backoff_.limit(); }

private:
    [[nodiscard]] Duration next_interval(Pace pace, Random& random) noexcept;
    [[nodiscard]] Duration jittered(Duration interval, Random& random) const noexcept;

    const config::HealthCheck& settings_;
    Backoff backoff_;
    TimePoint next_ = no_deadline;
    TimePoint started_{};
    bool running_ = false;
    bool steady_ = false;
};

/// A random share of `length`, uniform in [0, length).
[[nodiscard]] Duration random_part(Duration length, Random& random) noexcept;

}  // namespace penstock::health
