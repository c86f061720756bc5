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

/// How long a test waits for an event before it calls it missing. Machines that are busy with other
/// things take seconds for what takes microseconds on an idle one.
inline constexpr milliseconds patience = 20s;

/// "At once" as a test can judge it: not after the time-out, the pause or the drain that would come
/// otherwise, which each such test configures to be far longer (a minute at least).
inline constexpr milliseconds promptly = 8s;

/// How much work a test does: full size on plain builds, `share` of it under a sanitizer.
constexpr int sized(int full, int divisor = 5) { return sanitized ? full / divisor : full; }

inline milliseconds since(Clock::time_point start) {
    return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
}

/// Waits until `holds()` is true; false when `limit` (scaled) has passed first. The state that is
/// polled belongs to another process or to the kernel, which offer nothing to block on.
template <class Predicate>
bool wait_for(Predicate holds, milliseconds limit = patience) {
    const auto end = Clock::now() + scaled(limit);
    while (!holds()) {
        if (Clock::now() >= end) return holds();
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

/// The window in which a time-out of `nominal` may fire, measured by a clock that was started no
/// later than the time-out: never early; late by what a busy machine may take to let everybody see
/// it. (How late the proxy itself is, the timing wheel's own tests judge in virtual time.)
struct TimingWindow {
    milliseconds earliest;
    milliseconds latest;
    [[nodiscard]] bool contains(milliseconds value) const {
        return value >= earliest && value <= latest;
    }
};
constexpr TimingWindow window_of(milliseconds nominal) {
    return {nominal, nominal + scaled(promptly)};
}

/// Some facts can only be shown while this process is not held up: a connection must be used before
/// its short idle time-out ends, a sender must not fall silent. `attempt` returns false, having
/// judged nothing, when that did not succeed; it gets three chances.
template <class Attempt>
bool in_one_of_three_windows(Attempt attempt) {
    return attempt() || attempt() || attempt();
}

}  // namespace penstock::test
