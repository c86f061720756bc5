#pragma once

#include <cstdint>

#include "base/backoff.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"

namespace penstock::balancer {

enum class RetryAction : std::uint8_t {
    try_another,  // at once, a backend that this client has not tried
    wait,         // then any backend again: forget which were tried
    give_up,
};

struct RetryDecision {
    RetryAction action;
    Duration wait{};  // 0 unless action is `wait`

    friend bool operator==(const RetryDecision&, const RetryDecision&) = default;
};

/// What one client does after a connection attempt failed. One object per client; pure.
///
/// Another backend is tried without delay, since nothing is known against it. Trying those that
/// just failed again waits before (Backoff), so that the clients of a failed backend do not come
/// back all at once.
class RetryPolicy {
public:
    /// `attempts` counts the first one too; 0 is taken as 1. Durations are not negative.
    RetryPolicy(std::uint32_t attempts, Duration base, Duration max) noexcept
        : attempts_(attempts), backoff_(base, max) {}

    /// An attempt has failed; `other_left`: a backend is available that this client has not tried
    /// since the last wait (Selector::can_pick).
    [[nodiscard]] RetryDecision on_failure(bool other_left, Random& random) noexcept;

    [[nodiscard]] std::uint32_t failures() const noexcept { return failures_; }

private:
    std::uint32_t attempts_;
    std::uint32_t failures_ = 0;
    Backoff backoff_;
};

}  // namespace penstock::balancer
