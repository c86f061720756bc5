#pragma once

#include <cstdint>

#include "base/clock.hpp"
#include "base/random.hpp"

namespace penstock {

/// Pauses between repetitions: exponential with full jitter (Brooker, "Exponential Backoff And
/// Jitter", AWS Architecture Blog 2015). The n-th pause, counted from 0, is uniform in
/// [0, min(max, base * 2^n)], so that those who failed together do not come back together. Pure.
class Backoff {
public:
    /// Durations are not negative; a base above max is taken as max.
    Backoff(Duration base, Duration max) noexcept : base_(base), max_(max) {}

    /// The next pause.
    [[nodiscard]] Duration next(Random& random) noexcept;
    /// The longest that next() could return now.
    [[nodiscard]] Duration limit() const noexcept;
    /// Starts over.
    void reset() noexcept { count_ = 0; }
    /// How often next() was called since the start.
    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }

private:
    Duration base_;
    Duration max_;
    std::uint32_t count_ = 0;
};

}  // namespace penstock
