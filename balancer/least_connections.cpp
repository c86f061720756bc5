#include "balancer/least_connections.hpp"

namespace penstock::balancer {

std::uint32_t LeastConnections::pick(const Candidates& candidates, Random&) {
    const auto& [set, allowed, begin, end, weights, key, now] = candidates;
    ties_.clear();
    std::uint64_t least_active = 0;
    std::uint64_t least_weight = 1;
    for (std::size_t i = allowed.find_next(begin, end); i < end;
         i = allowed.find_next(i + 1, end)) {
        const std::uint64_t active = set.backend(i).active();  // once: other workers move it
        const std::uint64_t weight = weights[i];
        const std::uint64_t load = active * least_weight;
        const std::uint64_t least = least_active * weight;
        if (!ties_.empty() && load > least) continue;
        if (ties_.empty() || load < least) {
            ties_.clear();
            least_active = active;
            least_weight = weight;
        }
        ties_.push_back(static_cast<std::uint32_t>(i));
    }
    return rotation_.next(ties_);
}

void LeastConnections::prepare(const Bitmap& /*available*/,
                               std::span<const std::uint32_t> weights) noexcept {
    rotation_.reweigh(weights);
}

}  // namespace penstock::balancer
