#include "balancer/maglev.hpp"

#include "balancer/hash.hpp"
#include "balancer/keyed_choice.hpp"

namespace penstock::balancer {

namespace {

// With half of the backends gone, one key in 65536 needs more.
constexpr int max_probes = 16;

}  // namespace

std::uint32_t Maglev::pick(const Candidates& candidates, Random& /*random*/) {
    if (!candidates.key)
        return rotation_.next(candidates.allowed, candidates.begin, candidates.end);
    const KeyedChoice choice(candidates, *candidates.key, bounded_load_);
    std::uint64_t hash = *candidates.key;
    for (int probe = 0; probe < max_probes; ++probe) {
        const std::uint32_t i = candidates.begin + table_.at(hash);
        if (choice.admits(i)) return i;
        hash = mix64(hash);
    }
    return choice.rendezvous();
}

void Maglev::prepare(const Bitmap& /*available*/, std::span<const std::uint32_t> weights) noexcept {
    rotation_.reweigh(weights);
}

}  // namespace penstock::balancer
