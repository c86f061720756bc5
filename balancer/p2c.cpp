#include "balancer/p2c.hpp"

namespace penstock::balancer {

namespace {

// The load that one more session would make, (active + 1) / weight, decides. Where both carry the
// same load now (as two idle ones do), the first wins: it was drawn by weight, so the shares are
// the weights exactly, while (active + 1) / weight would send nothing to the lighter of two idle
// ones.
bool second_is_better(const BackendSet& set, std::uint32_t first, std::uint32_t second) noexcept {
    const std::uint64_t active_first = set.backend(first).active();
    const std::uint64_t active_second = set.backend(second).active();
    const std::uint64_t weight_first = set.weight(first);
    const std::uint64_t weight_second = set.weight(second);
    if (active_first * weight_second == active_second * weight_first) return false;
    return (active_second + 1) * weight_first < (active_first + 1) * weight_second;
}

}  // namespace

std::uint32_t PowerOfTwoChoices::pick(const Candidates& candidates, Random& random) {
    const auto& allowed = candidates.allowed;
    const auto one =
        static_cast<std::uint32_t>(allowed.find_next(candidates.begin, candidates.end));
    const auto two = static_cast<std::uint32_t>(allowed.find_next(one + 1, candidates.end));
    if (two == candidates.end) return one;

    const std::uint32_t first = draw_.draw(candidates, random);
    const bool just_two = !allowed.any_in(two + 1, candidates.end);
    const std::uint32_t second =
        just_two ? (first == one ? two : one) : draw_.draw(candidates, random, first);
    return second_is_better(candidates.set, first, second) ? second : first;
}

}  // namespace penstock::balancer
