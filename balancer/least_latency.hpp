#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "balancer/policy.hpp"
#include "balancer/weighted_draw.hpp"

namespace penstock::balancer {

/// The power of two choices over how long the servers take (Backend::latency()): of two candidates,
/// drawn in proportion to weight, the one wins where a client would wait less:
/// latency * (active + 1) / weight. Between two with the same load for their weight, the latency
/// must differ clearly, lest noise decide and the shares leave the weights. O(1).
class LeastLatency final : public Policy {
public:
    explicit LeastLatency(WeightedDraw draw) : draw_(std::move(draw)) {}

    [[nodiscard]] std::uint32_t pick(const Candidates& candidates, Random& random) override;
    void prepare(const Bitmap& available,
                 std::span<const std::uint32_t> weights) noexcept override {
        draw_.prepare(available, weights);
    }

private:
    WeightedDraw draw_;
};

}  // namespace penstock::balancer
