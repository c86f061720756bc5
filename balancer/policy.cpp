#include "balancer/policy.hpp"

#include <utility>

#include "balancer/first.hpp"
#include "balancer/least_connections.hpp"
#include "balancer/least_latency.hpp"
#include "balancer/maglev.hpp"
#include "balancer/p2c.hpp"
#include "balancer/ring_hash.hpp"
#include "balancer/round_robin.hpp"
#include "balancer/smooth_rotation.hpp"
#include "balancer/weighted_draw.hpp"
#include "balancer/weighted_random.hpp"

namespace penstock::balancer {

namespace {

SmoothRotation rotation_from_anywhere(const BackendSet::Range& range,
                                      std::span<const std::uint32_t> weights, Random& random) {
    SmoothRotation rotation(range, weights);
    rotation.start_anywhere(random);
    return rotation;
}

}  // namespace

void Policy::prepare(const Bitmap& /*available*/,
                     std::span<const std::uint32_t> /*weights*/) noexcept {}

std::unique_ptr<Policy> make_policy(const PolicyOptions& options, const BackendSet& set,
                                    std::size_t range_index, std::span<const std::uint32_t> weights,
                                    Random& random) {
    const auto& range = set.ranges()[range_index];
    switch (options.kind) {
        case PolicyKind::round_robin:
            return std::make_unique<RoundRobin>(rotation_from_anywhere(range, weights, random));
        case PolicyKind::least_connections:
            return std::make_unique<LeastConnections>(
                range, rotation_from_anywhere(range, weights, random));
        case PolicyKind::p2c: return std::make_unique<PowerOfTwoChoices>(WeightedDraw(range));
        case PolicyKind::random: return std::make_unique<WeightedRandom>(WeightedDraw(range));
        case PolicyKind::least_latency: return std::make_unique<LeastLatency>(WeightedDraw(range));
        case PolicyKind::first: return std::make_unique<FirstWithRoom>();
        case PolicyKind::maglev:
            return std::make_unique<Maglev>(set.maglev_table(range_index), options.bounded_load,
                                            rotation_from_anywhere(range, weights, random));
        case PolicyKind::ring_hash:
            return std::make_unique<RingHash>(set.ring_table(range_index), options.bounded_load,
                                              rotation_from_anywhere(range, weights, random));
    }
    std::unreachable();
}

}  // namespace penstock::balancer
