#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "balancer/policy.hpp"
#include "balancer/ring_table.hpp"
#include "balancer/smooth_rotation.hpp"

namespace penstock::balancer {

/// By the lower 32 bits of the client's key, on a RingTable; clients without a key in turns. Where
/// the backend of the key may not be picked, it is the turn of the next point, as with nginx.
class RingHash final : public Policy {
public:
    /// `ring` is that of the range in the set, and lives as long.
    RingHash(const RingTable& ring, double bounded_load, SmoothRotation rotation)
        : ring_(ring), bounded_load_(bounded_load), rotation_(std::move(rotation)) {}

    [[nodiscard]] std::uint32_t pick(const Candidates& candidates, Random& random) override;
    void prepare(const Bitmap& available, std::span<const std::uint32_t> weights) noexcept override;

private:
    const RingTable& ring_;
    double bounded_load_;
    SmoothRotation rotation_;
};

}  // namespace penstock::balancer
