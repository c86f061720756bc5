#include "balancer/keyed_choice.hpp"

#include <cmath>
#include <limits>

#include "balancer/hash.hpp"

namespace penstock::balancer {

namespace {

// Rounding must not turn a bound of exactly n into n + 1.
constexpr double rounding = 1 - 1e-12;

}  // namespace

// The bound is that of Mirrokni, Thorup and Zadimoghaddam (arXiv 1608.01350), for weights: nobody
// holds more than ceil(bounded_load * its share of all sessions, the new one included). With a
// factor of at least 1 somebody is always below it, because it counts those who may be picked.
KeyedChoice::KeyedChoice(const Candidates& candidates, std::uint64_t key,
                         double bounded_load) noexcept
    : candidates_(candidates), key_(key) {
    if (bounded_load == 0) return;
    std::uint64_t sessions = 1;
    std::uint64_t weight = 0;
    for (const std::uint32_t i : candidates.allowed.ones(candidates.begin, candidates.end)) {
        sessions += candidates.set.backend(i).active();
        weight += candidates.weights[i];
    }
    bound_per_weight_ =
        bounded_load * static_cast<double>(sessions) / static_cast<double>(weight) * rounding;
}

bool KeyedChoice::admits(std::uint32_t i) const noexcept {
    return candidates_.allowed.test(i) && takes_key(i) && below_bound(i);
}

std::uint64_t KeyedChoice::hash_with(std::uint32_t i) const noexcept {
    return mix64(key_ ^ candidates_.set.name_hash(i));
}

bool KeyedChoice::takes_key(std::uint32_t i) const noexcept {
    const std::uint32_t whole = candidates_.set.usable_weight(i) * weight_scale;
    if (candidates_.weights[i] >= whole) return true;
    return (hash_with(i) >> 32) * whole >> 32 < candidates_.weights[i];
}

bool KeyedChoice::below_bound(std::uint32_t i) const noexcept {
    if (bound_per_weight_ == 0) return true;
    return candidates_.set.backend(i).active() <
           std::ceil(bound_per_weight_ * candidates_.weights[i]);
}

std::uint32_t KeyedChoice::rendezvous() const noexcept {
    std::uint32_t best = candidates_.begin;
    double best_score = std::numeric_limits<double>::infinity();
    bool best_is_below = false;
    for (const std::uint32_t i : candidates_.allowed.ones(candidates_.begin, candidates_.end)) {
        const bool below = below_bound(i);
        if (best_is_below && !below) continue;
        // Exponentially distributed with the weight as its rate: the least of them falls on each
        // in proportion to weight.
        const double uniform = (static_cast<double>(hash_with(i) >> 11) + 0.5) * 0x1p-53;
        const double score = -std::log(uniform) / candidates_.weights[i];
        if (below == best_is_below && score >= best_score) continue;
        best = i;
        best_score = score;
        best_is_below = below;
    }
    return best;
}

}  // namespace penstock::balancer
