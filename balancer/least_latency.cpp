#include "balancer/least_latency.hpp"

#include <algorithm>

namespace penstock::balancer {

namespace {

// Microseconds. Below the floor, differences are those of cables and caches, not of load.
constexpr float floor_us = 1000;
// Of a server that has work and has not answered yet. It is not given more before it has, while
// others have fewer.
constexpr float unknown_us = 1'000'000;
// At the same load, the second is better only if it takes less than this share of the time.
constexpr float clearly_less = 0.75F;

float latency_of(Backend& backend, std::uint32_t active, TimePoint now) noexcept {
    const auto average = backend.latency().average(now);
    if (average) return std::max(*average, floor_us);
    return active == 0 ? 0 : unknown_us;  // one without work must be tried
}

bool second_is_better(const Candidates& candidates, std::uint32_t first,
                      std::uint32_t second) noexcept {
    Backend& one = candidates.set.backend(first);
    Backend& two = candidates.set.backend(second);
    const std::uint32_t active_one = one.active();  // once: other workers move it
    const std::uint32_t active_two = two.active();
    const float latency_one = latency_of(one, active_one, candidates.now);
    const float latency_two = latency_of(two, active_two, candidates.now);
    const std::uint64_t weight_one = candidates.weights[first];
    const std::uint64_t weight_two = candidates.weights[second];
    // The first was drawn by weight: where nothing speaks against it, the shares are the weights.
    if (active_one * weight_two == active_two * weight_one)
        return latency_two < latency_one * clearly_less;
    return latency_two * static_cast<float>((std::uint64_t{active_two} + 1) * weight_one) <
           latency_one * static_cast<float>((std::uint64_t{active_one} + 1) * weight_two);
}

}  // namespace

std::uint32_t LeastLatency::pick(const Candidates& candidates, Random& random) {
    const auto [first, second] = draw_.draw_two(candidates, random);
    return second_is_better(candidates, first, second) ? second : first;
}

}  // namespace penstock::balancer
