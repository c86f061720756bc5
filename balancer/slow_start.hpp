#pragma once

#include <cstdint>

#include "base/clock.hpp"

namespace penstock::balancer {

/// Effective weights are in units of 1 / weight_scale of a configured one, so that a ramp has steps
/// at weight 1 too.
inline constexpr std::uint32_t weight_scale = 256;

/// How a backend that has recovered, or is new, comes to its whole weight.
struct SlowStart {
    Duration window{};  // 0 = off: whole weight at once
    double min_weight = 0.1;  // share of the weight that it starts with
    double aggression = 1.0;  // above 1 the ramp is steep at first, below it is flat; positive
    bool operator==(const SlowStart&) const = default;
};

/// weight * weight_scale * max(min_weight, (age / window) ^ (1 / aggression)), as Envoy has it; all
/// of it from `window` on. At least 1 unless `weight` is 0; `weight` is at most 65535.
[[nodiscard]] std::uint32_t effective_weight(std::uint32_t weight, Duration age,
                                             const SlowStart& slow_start) noexcept;

}  // namespace penstock::balancer
