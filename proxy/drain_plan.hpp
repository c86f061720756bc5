#pragma once

#include <algorithm>
#include <cstddef>

#include "base/clock.hpp"

namespace penstock::proxy {

/// When the sessions of a draining worker are closed: none while they may end by themselves, then
/// at an even rate, all at the deadline. Pure.
class DrainPlan {
public:
    DrainPlan() = default;
    DrainPlan(TimePoint now, Duration wait, Duration close_over) noexcept
        : closing_begins_(deadline_after(now, wait)),
          deadline_(deadline_after(
              closing_begins_, closing_begins_ == no_deadline ? Duration::zero() : close_over)) {}

    /// How many of `sessions_at_start`, those open when closing began, must be gone at `now`.
    [[nodiscard]] std::size_t gone_by(TimePoint now, std::size_t sessions_at_start) const noexcept {
        if (now >= deadline_) return sessions_at_start;
        if (now <= closing_begins_) return 0;
        const auto passed = static_cast<double>((now - closing_begins_).count());
        const auto whole = static_cast<double>((deadline_ - closing_begins_).count());
        return static_cast<std::size_t>(passed / whole * static_cast<double>(sessions_at_start));
    }

    [[nodiscard]] TimePoint closing_begins() const noexcept { return closing_begins_; }
    [[nodiscard]] TimePoint deadline() const noexcept { return deadline_; }

private:
    TimePoint closing_begins_ = no_deadline;
    TimePoint deadline_ = no_deadline;
};

}  // namespace penstock::proxy
