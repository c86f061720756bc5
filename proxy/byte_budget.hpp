#pragma once

#include <cstdint>

#include "base/clock.hpp"

namespace penstock::proxy {

/// What one direction of a connection may move: a token bucket that is filled with `rate` bytes per
/// second and holds 50 ms of them, at least one byte. In any span of time t at most rate * t bytes
/// and a full bucket are given out; whoever takes all there is gets exactly the rate, because what
/// time has earned is computed from a fixed moment and no rounding adds up. Pure.
class ByteBudget {
public:
    static constexpr std::uint64_t unlimited = ~std::uint64_t{0};

    /// Starts full. `rate` 0 = unlimited; more than any socket can do is cut to that.
    ByteBudget(std::uint64_t rate, TimePoint now) noexcept;

    /// Bytes that may be moved at `now`; `unlimited` where there is no limit.
    [[nodiscard]] std::uint64_t available(TimePoint now) noexcept;
    /// These were moved: at most what available() has said for the same moment.
    void take(std::uint64_t bytes) noexcept { spent_ += bytes; }
    /// When half a bucket, at least one byte, will be there: enough to be worth a wake-up, and
    /// early enough that the bucket does not overflow meanwhile. Call available() first.
    [[nodiscard]] TimePoint worth_waking_at() const noexcept;

    /// From now on there is no limit.
    void lift() noexcept { rate_ = 0; }

private:
    [[nodiscard]] std::uint64_t burst() const noexcept;
    [[nodiscard]] std::uint64_t earned_in(Duration elapsed) const noexcept;

    std::uint64_t rate_;
    TimePoint since_;  // the bucket was full then, or `spent_` is corrected accordingly
    std::uint64_t spent_ = 0;  // since then
};

}  // namespace penstock::proxy
