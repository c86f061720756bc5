#pragma once

#include <cstdint>
#include <utility>

#include "balancer/policy.hpp"
#include "balancer/smooth_rotation.hpp"

namespace penstock::balancer {

/// In turn, each as often as its weight says.
class RoundRobin final : public Policy {
public:
    explicit RoundRobin(SmoothRotation rotation) : rotation_(std::move(rotation)) {}

    [[nodiscard]] std::uint32_t pick(const Candidates& candidates, Random& random) override;

private:
    SmoothRotation rotation_;
};

}  // namespace penstock::balancer
