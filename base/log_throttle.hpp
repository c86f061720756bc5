#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "base/clock.hpp"

namespace penstock {

/// Lets one message of a kind through per interval and counts the others, so that a fault that
/// repeats cannot fill the log. Pure; one owner thread.
class LogThrottle {
public:
    explicit LogThrottle(Duration interval) noexcept : interval_(interval) {}

    /// How many were left out since the last message if this one may be written, else nothing.
    [[nodiscard]] std::optional<std::uint64_t> admit(TimePoint now) noexcept {
        if (now < next_) {
            ++left_out_;
            return std::nullopt;
        }
        next_ = now + interval_;
        return std::exchange(left_out_, 0);
    }

private:
    Duration interval_;
    TimePoint next_ = TimePoint::min();
    std::uint64_t left_out_ = 0;
};

}  // namespace penstock
