#pragma once

#include <cstdint>
#include <vector>

#include "balancer/policy.hpp"
#include "base/random.hpp"

namespace penstock::balancer {

/// Draws a backend at random, in proportion to weight. The alias method (Walker 1977, built as Vose
/// 1991) draws among the available ones of a tier in O(1); one that this client has tried is
/// rejected and drawn again, and after a few rejections the allowed ones are walked instead. Either
/// way the shares of the allowed ones are exact. One thread.
class WeightedDraw {
public:
    WeightedDraw(const BackendSet& set, const BackendSet::Tier& tier);

    /// Prepares draws among `available`, of which candidates must be a part; call it before the
    /// first draw. O(backends).
    void prepare(const Bitmap& available) noexcept;

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

    const BackendSet& set_;
    std::uint32_t begin_;
    std::vector<Column> columns_;
    std::vector<std::uint64_t> need_;  // scratch of prepare(), for each column
    std::vector<std::uint32_t> piles_;  // scratch of prepare(): two piles of columns, end to end
};

}  // namespace penstock::balancer
