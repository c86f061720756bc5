#include "balancer/slow_start.hpp"

#include <algorithm>
#include <cmath>

namespace penstock::balancer {

std::uint32_t effective_weight(std::uint32_t weight, Duration age,
                               const SlowStart& slow_start) noexcept {
    const std::uint32_t whole = weight * weight_scale;
    if (weight == 0 || age >= slow_start.window) return whole;
    const double progress = static_cast<double>(std::max(age, Duration{}).count()) /
                            static_cast<double>(slow_start.window.count());
    const double share = std::clamp(
        std::max(slow_start.min_weight, std::pow(progress, 1 / slow_start.aggression)), 0.0, 1.0);
    return std::max(1U, static_cast<std::uint32_t>(std::lround(whole * share)));
}

}  // namespace penstock::balancer
