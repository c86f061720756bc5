#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "balancer/maglev_table.hpp"
#include "balancer/policy.hpp"
#include "balancer/smooth_rotation.hpp"

namespace penstock::balancer {

/// By the client's key, looked up in a MaglevTable; clients without a key in turns. Where the
/// backend of the key may not be picked, the key is hashed again (as arXiv 1908.08762 proposes for
/// bounded loads), so that the keys of one spread over all others.
class Maglev final : public Policy {
public:
    /// `table` is that of the range in the set, and lives as long.
    Maglev(const MaglevTable& table, double bounded_load, SmoothRotation rotation)
        : table_(table), bounded_load_(bounded_load), rotation_(std::move(rotation)) {}

    [[nodiscard]] std::uint32_t pick(const Candidates& candidates, Random& random) override;
    void prepare(const Bitmap& available, std::span<const std::uint32_t> weights) noexcept override;

private:
    const MaglevTable& table_;
    double bounded_load_;
    SmoothRotation rotation_;
};

}  // namespace penstock::balancer
