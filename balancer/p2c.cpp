#include "balancer/p2c.hpp"

namespace penstock::balancer {

namespace {

// The load that one more session would make, (active + 1) / weight, decides. Where both carry the
// same load now (as two idle ones do), the first wins: it was drawn by weight, so the shares are
// the weights exactly, while (active + 1) / weight would send nothing to the lighter of two idle
// ones.
bool second_is_better(const Candidates& candidates, std::uint32_t first,
                      std::uint32_t second) noexcept {
    const std::uint64_t active_first = candidates.set.backend(first).active();
    const std::uint64_t active_second = candidates.set.backend(second).active();
    const std::uint64_t weight_first = candidates.weights[first];
    const std::uint64_t weight_second = candidates.weights[second];
    if (active_first * weight_second == active_second * weight_first) return false;
    return (active_second + 1) * weight_first < (active_first + 1) * weight_second;
}

}  // namespace

std::uint32_t PowerOfTwoChoices::pick(const Candidates& candidates, Random& random) {
    const auto [first, second] = draw_.draw_two(candidates, random);
    return second_is_better(candidates, first, second) ? second : first;
}

}  // namespace penstock::balancer
