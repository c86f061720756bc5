#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "balancer/policy.hpp"
#include "balancer/weighted_draw.hpp"

namespace penstock::balancer {

/// At random, in proportion to weight, without looking at load.
class WeightedRandom final : public Policy {
public:
    explicit WeightedRandom(WeightedDraw draw) : draw_(std::move(draw)) {}

    [[nodiscard]] std::uint32_t pick(const Candidates& candidates, Random& random) override;
    void prepare(const Bitmap& available,
                 std::span<const std::uint32_t> weights) noexcept override {
        draw_.prepare(available, weights);
    }

private:
    WeightedDraw draw_;
};

}  // namespace penstock::balancer
