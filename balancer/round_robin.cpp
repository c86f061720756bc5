#include "balancer/round_robin.hpp"

namespace penstock::balancer {

std::uint32_t RoundRobin::pick(const Candidates& candidates, Random& /*random*/) {
    return rotation_.next(candidates.allowed, candidates.begin, candidates.end);
}

void RoundRobin::prepare(const Bitmap& /*available*/,
                         std::span<const std::uint32_t> weights) noexcept {
    rotation_.reweigh(weights);
}

}  // namespace penstock::balancer
