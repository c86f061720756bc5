#include "balancer/policy.hpp"

#include <utility>

#include "balancer/least_connections.hpp"
#include "balancer/p2c.hpp"
#include "balancer/round_robin.hpp"
#include "balancer/smooth_rotation.hpp"
#include "balancer/weighted_draw.hpp"
#include "balancer/weighted_random.hpp"

namespace penstock::balancer {

namespace {

SmoothRotation rotation_from_anywhere(const BackendSet& set, const BackendSet::Tier& tier,
                                      Random& random) {
    SmoothRotation rotation(set, tier);
    rotation.start_anywhere(random);
    return rotation;
}

}  // namespace

void Policy::prepare(const Bitmap& /*available*/) noexcept {}

std::unique_ptr<Policy> make_policy(PolicyKind kind, const BackendSet& set,
                                    const BackendSet::Tier& tier, Random& random) {
    switch (kind) {
        case PolicyKind::round_robin:
            return std::make_unique<RoundRobin>(rotation_from_anywhere(set, tier, random));
        case PolicyKind::least_connections:
            return std::make_unique<LeastConnections>(tier,
                                                      rotation_from_anywhere(set, tier, random));
        case PolicyKind::p2c: return std::make_unique<PowerOfTwoChoices>(WeightedDraw(set, tier));
        case PolicyKind::random: return std::make_unique<WeightedRandom>(WeightedDraw(set, tier));
    }
    std::unreachable();
}

}  // namespace penstock::balancer
