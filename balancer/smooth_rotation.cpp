#include "balancer/smooth_rotation.hpp"

#include <algorithm>
#include <numeric>
#include <ranges>

namespace penstock::balancer {

namespace {

// Candidates looked at by start_anywhere(): about a quarter of a millisecond.
constexpr std::int64_t start_effort = 1 << 18;

}  // namespace

SmoothRotation::SmoothRotation(const BackendSet::Range& range,
                               std::span<const std::uint32_t> weights)
    : begin_(range.begin), turns_(range.end - range.begin) {
    reweigh(weights);
}

void SmoothRotation::reweigh(std::span<const std::uint32_t> weights) noexcept {
    for (std::size_t i = 0; i < turns_.size(); ++i) turns_[i].weight = weights[begin_ + i];
}

void SmoothRotation::start_anywhere(Random& random) noexcept {
    std::int64_t total = 0;
    std::int64_t divisor = 0;
    for (const Turn& turn : turns_) {
        total += turn.weight;
        divisor = std::gcd(divisor, turn.weight);
    }
    if (divisor == 0) return;
    const auto size = static_cast<std::int64_t>(turns_.size());
    const auto turns = std::min(total / divisor, start_effort / size + 1);
    const auto everyone = std::views::iota(begin_, begin_ + static_cast<std::uint32_t>(size));
    for (auto left = random.below(static_cast<std::uint32_t>(turns)); left != 0; --left)
        next(everyone);
}

}  // namespace penstock::balancer
