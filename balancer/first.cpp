#include "balancer/first.hpp"

namespace penstock::balancer {

std::uint32_t FirstWithRoom::pick(const Candidates& candidates, Random& random) {
    const auto& [set, allowed, begin, end, weights, key, now] = candidates;
    for (const std::uint32_t i : allowed.ones(begin, end)) {
        const std::uint32_t whole = set.usable_weight(i) * weight_scale;
        if (weights[i] >= whole || random.below(whole) < weights[i]) return i;
    }
    return static_cast<std::uint32_t>(allowed.find_next(begin, end));
}

}  // namespace penstock::balancer
