#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>

namespace penstock {

using Duration = std::chrono::nanoseconds;

/// The time line of every deadline in the program: CLOCK_MONOTONIC. It has no now() on purpose:
/// policies receive `now` as an argument, only a Clock held by a loop can read the time.
struct MonotonicTime {
    using duration = Duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<MonotonicTime>;
    static constexpr bool is_steady = true;
};
using TimePoint = MonotonicTime::time_point;

/// Wall time, for logs only: it may jump.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

/// "never" in the configuration. deadline_after() keeps it absorbing.
inline constexpr Duration never = Duration::max();
inline constexpr TimePoint no_deadline = TimePoint::max();

/// start + timeout; `never`, and anything beyond the end of the time line, is no_deadline.
constexpr TimePoint deadline_after(TimePoint start, Duration timeout) noexcept {
    if (timeout >= no_deadline - start) return no_deadline;
    return start + timeout;
}

/// For counters; a negative duration is none.
constexpr std::uint64_t whole_us(Duration duration) noexcept {
    return duration < Duration::zero() ? 0 : static_cast<std::uint64_t>(duration.count()) / 1000;
}

template <typename T>
concept Clock = requires(T& clock) {
    { clock.now() } -> std::same_as<TimePoint>;
};

/// Reads CLOCK_MONOTONIC. Any thread.
class SteadyClock {
public:
    [[nodiscard]] TimePoint now() const noexcept;
};

/// A clock that stands still until a test moves it.
class ManualClock {
public:
    [[nodiscard]] TimePoint now() const noexcept { return now_; }
    void advance(Duration by) noexcept { now_ += by; }
    void set(TimePoint now) noexcept { now_ = now; }

private:
    TimePoint now_{std::chrono::hours(1)};
};

static_assert(Clock<SteadyClock> && Clock<ManualClock>);

/// CLOCK_REALTIME in milliseconds. Any thread.
[[nodiscard]] WallTime wall_now() noexcept;

}  // namespace penstock
