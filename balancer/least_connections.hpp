#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "balancer/policy.hpp"
#include "balancer/smooth_rotation.hpp"

namespace penstock::balancer {

/// The backend with the fewest active sessions for its weight; equals take turns by weight. Exact
/// for one worker; several workers that pick in the same moment may see the same counts.
/// O(backends).
class LeastConnections final : public Policy {
public:
    LeastConnections(const BackendSet::Range& range, SmoothRotation rotation)
        : rotation_(std::move(rotation)), ties_(range.end - range.begin) {}

    [[nodiscard]] std::uint32_t pick(const Candidates& candidates, Random& random) override;
    void prepare(const Bitmap& available, std::span<const std::uint32_t> weights) noexcept override;

private:
    SmoothRotation rotation_;
    std::vector<std::uint32_t> ties_;  // scratch, of the range's size
};

}  // namespace penstock::balancer
