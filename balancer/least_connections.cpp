#include "balancer/least_connections.hpp"

namespace penstock::balancer {

namespace {

// Those with the least load among the ones looked at so far.
struct Least {
    std::uint64_t active = 1;  // of weight 0: more than any load
    std::uint64_t weight = 0;
    std::size_t ties = 0;
};

// The hot loop: [first, last) of the set, all of them allowed.
void look_at(const Candidates& candidates, std::size_t first, std::size_t last, std::uint32_t* ties,
             Least& result) noexcept {
    Backend* const* const backends = candidates.set.backends().data();
    const std::uint32_t* const weights = candidates.weights.data();
    Least least = result;
    for (std::size_t i = first; i != last; ++i) {
        const std::uint64_t active = backends[i]->active();  // once: other workers move it
        const std::uint64_t weight = weights[i];
        const std::uint64_t load = active * least.weight;
        const std::uint64_t least_load = least.active * weight;
        if (load > least_load) continue;
        if (load < least_load) least = {active, weight, 0};
        ties[least.ties++] = static_cast<std::uint32_t>(i);
    }
    result = least;
}

}  // namespace

std::uint32_t LeastConnections::pick(const Candidates& candidates, Random&) {
    Least least;
    candidates.allowed.for_each_stretch(candidates.begin, candidates.end,
                                        [&](std::size_t first, std::size_t last) {
                                            look_at(candidates, first, last, ties_.data(), least);
                                        });
    return rotation_.next(std::span(ties_.data(), least.ties));
}

void LeastConnections::prepare(const Bitmap& /*available*/,
                               std::span<const std::uint32_t> weights) noexcept {
    rotation_.reweigh(weights);
}

}  // namespace penstock::balancer
