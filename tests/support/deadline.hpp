#pragma once

#include <chrono>
#include <thread>

/// Time in the tests: every wait is for an event and has a deadline; deadlines stretch under the
/// sanitizers, which slow the program under test by a known order of magnitude.
namespace penstock::test {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

#if defined(PENSTOCK_SANITIZE_BUILD) || defined(__SANITIZE_ADDRESS__) || \
    defined(__SANITIZE_THREAD__)
inline constexpr int time_scale = 5;
inline constexpr bool sanitized = true;
#else
inline constexpr int time_scale = 1;
inline constexpr bool sanitized = false;
#endif

/// A deadline of `limit` on this build.
constexpr milliseconds scaled(milliseconds limit) { return limit * time_scale; }

/// How much work a test does: full size on plain builds, `share` of it under a sanitizer.
constexpr int sized(int full, int divisor = 5) { return sanitized ? full / divisor : full; }

inline milliseconds since(Clock::time_point start) {
    return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
}

/// Waits until `holds()` is true; false when `limit` (scaled) has passed first. The state that is
/// polled belongs to another process or to the kernel, which offer nothing to block on.
template <class Predicate>
bool wait_for(Predicate holds, milliseconds limit = 5s) {
    const auto end = Clock::now() + scaled(limit);
    while (!holds()) {
        if (Clock::now() >= end) return holds();
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

/// The window in which a timeout of `nominal` may fire: never early, at most 10 % + 50 ms late. The
/// late edge is stretched for sanitizers and for the load of parallel tests (`slack`, unscaled).
struct TimingWindow {
    milliseconds earliest;
    milliseconds latest;
    [[nodiscard]] bool contains(milliseconds value) const {
        return value >= earliest && value <= latest;
    }
};
constexpr TimingWindow window_of(milliseconds nominal, milliseconds slack = 0ms) {
    return {nominal, nominal + (nominal / 10 + 50ms + slack) * time_scale};
}

}  // namespace penstock::test
