#include "base/clock.hpp"

#include <ctime>

namespace penstock {

namespace {

Duration read_clock(clockid_t id) noexcept {
    timespec ts{};
    ::clock_gettime(id, &ts);  // cannot fail for the two clocks used here
    return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}

}  // namespace

TimePoint SteadyClock::now() const noexcept { return TimePoint(read_clock(CLOCK_MONOTONIC)); }

WallTime wall_now() noexcept {
    return WallTime(std::chrono::floor<std::chrono::milliseconds>(read_clock(CLOCK_REALTIME)));
}

}  // namespace penstock
