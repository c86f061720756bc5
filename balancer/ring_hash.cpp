#include "balancer/ring_hash.hpp"

#include <algorithm>
#include <cstddef>

#include "balancer/keyed_choice.hpp"

namespace penstock::balancer {

namespace {

// Some 10 us. Those who are left must have less than a thousandth of the weight before a key in ten
// million needs more.
constexpr std::size_t max_steps = 1U << 14;

}  // namespace

std::uint32_t RingHash::pick(const Candidates& candidates, Random& /*random*/) {
    if (!candidates.key)
        return rotation_.next(candidates.allowed, candidates.begin, candidates.end);
    const KeyedChoice choice(candidates, *candidates.key, bounded_load_);
    std::size_t place = ring_.find(static_cast<std::uint32_t>(*candidates.key));
    for (auto steps = std::min(ring_.size(), max_steps); steps != 0; --steps) {
        const std::uint32_t i = candidates.begin + ring_.owner(place);
        if (choice.admits(i)) return i;
        place = ring_.next(place);
    }
    return choice.rendezvous();
}

void RingHash::prepare(const Bitmap& /*available*/,
                       std::span<const std::uint32_t> weights) noexcept {
    rotation_.reweigh(weights);
}

}  // namespace penstock::balancer
