#pragma once

#include <cstdint>
#include <vector>

#include "balancer/policy.hpp"
#include "base/random.hpp"

namespace penstock::balancer {

/// Draws a backend at random, in proportion to weight. The alias method (Walker 1977, built as Vose
/// 1991) draws among all of a tier in O(1); what may not be picked is rejected and drawn again, and
/// after a few rejections the allowed ones are walked instead. Either way the shares of the allowed
/// ones are exact. Immutable.
class WeightedDraw {
public:
    WeightedDraw(const BackendSet& set, const BackendSet::Tier& tier);

    static constexpr std::uint32_t nobody = 0xffff'ffff;

    /// One of the candidates other than `except`; there must be one.
    [[nodiscard]] std::uint32_t draw(const Candidates& candidates, Random& random,
                                     std::uint32_t except = nobody) const noexcept;

private:
    // A draw falls on a column by chance; the coin, uniform in [0, 2^32), then decides between the
    // column's own backend (below threshold) and its alias.
    struct Column {
        std::uint32_t threshold;
        std::uint32_t alias;
    };

    [[nodiscard]] std::uint32_t draw_any(Random& random) const noexcept;

    std::uint32_t begin_;
    std::vector<Column> columns_;
};

}  // namespace penstock::balancer
