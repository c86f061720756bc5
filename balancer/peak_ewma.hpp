#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/clock.hpp"

namespace penstock::balancer {

/// How long a server takes to answer, in the manner of Finagle's peak EWMA: a sample above the
/// average becomes the average at once, one below pulls it down with weight 1 - e^(-dt / 10 s).
/// Without samples it decays towards 0, so that a server that looked slow is tried again. Any
/// thread; lock-free, one word.
class PeakEwma {
public:
    static constexpr Duration tau = std::chrono::seconds(10);

    /// A connection was made, or a first byte came, after `sample`.
    void record(Duration sample, TimePoint now) noexcept;
    /// An attempt failed, however fast: the average rises to `penalty` unless it is above that.
    void fail(TimePoint now, Duration penalty) noexcept;

    /// In microseconds, decayed until `now`; nothing before the first sample.
    [[nodiscard]] std::optional<float> average(TimePoint now) const noexcept;

private:
    // The upper half is the average (bits of a float, in microseconds, above 0), the lower one the
    // time of the last sample in milliseconds, modulo 2^32 (49 days). 0 = no sample.
    std::atomic<std::uint64_t> word_{0};
};

}  // namespace penstock::balancer
