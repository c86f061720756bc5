#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/clock.hpp"

namespace penstock::proxy {

/// How many warm connections to keep for one backend: `least`, and with the arrival rate more, up
/// to `most`, so that the next clients find one while replacements are still being opened. Pure.
class PoolSizer {
public:
    PoolSizer(std::uint32_t least, std::uint32_t most) noexcept
        : least_(least), most_(std::max(least, most)) {}

    /// A client came that took a warm connection, or would have taken one.
    void on_arrival(TimePoint now) noexcept {
        decay(now);
        recent_ += 1;
    }
    /// A connection was there after `took`.
    void on_opened(Duration took) noexcept {
        const double s = std::chrono::duration<double>(took).count();
        opening_s_ = opening_s_ < 0 ? s : opening_s_ + (s - opening_s_) * smoothing;
    }

    [[nodiscard]] std::uint32_t target(TimePoint now) noexcept {
        if (most_ == least_) return least_;
        decay(now);
        const double per_second = recent_ / memory_s;
        const double extra = std::ceil(per_second * std::max(opening_s_, 0.0) * reserve - 0.01);
        return static_cast<std::uint32_t>(std::clamp<double>(least_ + extra, least_, most_));
    }

private:
    static constexpr double memory_s = 10;    // arrivals count less by 1/e after this
    static constexpr double reserve = 2;      // times what arrives while one is opened
    static constexpr double smoothing = 0.2;  // of a new opening time

    void decay(TimePoint now) noexcept {
        const double passed = std::chrono::duration<double>(now - last_).count();
        recent_ *= std::exp(-std::max(passed, 0.0) / memory_s);
        last_ = now;
    }

    std::uint32_t least_;
    std::uint32_t most_;
    double recent_ = 0;  // arrivals, fading
    double opening_s_ = -1;
    TimePoint last_{};
};

/// Worker `worker`'s part of `figure`, of which all workers together have exactly as many; who gets
/// the remainder differs from backend to backend.
[[nodiscard]] constexpr std::uint32_t pool_share(std::uint32_t figure, std::size_t worker,
                                                 std::size_t workers,
                                                 std::size_t backend) noexcept {
    const std::size_t place = (worker + backend) % workers;
    return static_cast<std::uint32_t>((figure + workers - 1 - place) / workers);
}

}  // namespace penstock::proxy
