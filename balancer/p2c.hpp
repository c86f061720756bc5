#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "balancer/policy.hpp"
#include "balancer/weighted_draw.hpp"

namespace penstock::balancer {

/// The power of two choices (Mitzenmacher 2001): two different candidates drawn in proportion to
/// weight, of which the less loaded one wins. Nearly as even as the least loaded of all, in O(1)
/// and without the herd: workers that see the same counts still choose differently.
class PowerOfTwoChoices final : public Policy {
public:
    explicit PowerOfTwoChoices(WeightedDraw draw) : draw_(std::move(draw)) {}

    [[nodiscard]] std::uint32_t pick(const Candidates& candidates, Random& random) override;
    void prepare(const Bitmap& available,
                 std::span<const std::uint32_t> weights) noexcept override {
        draw_.prepare(available, weights);
    }

private:
    WeightedDraw draw_;
};

}  // namespace penstock::balancer
