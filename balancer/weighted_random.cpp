#include "balancer/weighted_random.hpp"

namespace penstock::balancer {

std::uint32_t WeightedRandom::pick(const Candidates& candidates, Random& random) {
    return draw_.draw(candidates, random);
}

}  // namespace penstock::balancer
