#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "balancer/policy.hpp"
#include "balancer/smooth_rotation.hpp"

namespace penstock::balancer {

/// In turn, each as often as its weight says.
class RoundRobin final : public Policy {
public:
    explicit RoundRobin(SmoothRotation rotation) : rotation_(std::move(rotation)) {}

    [[nodiscard]] std::uint32_t pick(const Candidates& candidates, Random& random) override;
    void prepare(const Bitmap& available, std::span<const std::uint32_t> weights) noexcept override;

private:
    SmoothRotation rotation_;
};

}  // namespace penstock::balancer
