#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "balancer/policy.hpp"
#include "base/random.hpp"

namespace penstock::balancer {

/// Draws a backend at random, in proportion to weight. The alias method (Walker 1977, built as Vose
/// 1991) draws among the available ones of a range in O(1); one that this client has tried, or
/// that is full, is rejected and drawn again, and after a few rejections the allowed ones are
/// walked instead. Either way the shares of the allowed ones are exact. One thread.
class WeightedDraw {
public:
    explicit WeightedDraw(const BackendSet::Range& range);

    /// Prepares draws among `available`, of which candidates must be a part, with the weights that
    /// candidates will have; call it before the first draw. O(backends).
    void prepare(const Bitmap& available, std::span<const std::uint32_t> weights) noexcept;

    static constexpr std::uint32_t nobody = 0xffff'ffff;

    /// One of the candidates other than `except`; there must be one.
    [[nodiscard]] std::uint32_t draw(const Candidates& candidates, Random& random,
                                     std::uint32_t except = nobody) const noexcept;
    /// Two of the candidates, the second drawn among those that the first is not; the same twice
    /// when there is only one.
    [[nodiscard]] std::pair<std::uint32_t, std::uint32_t> draw_two(const Candidates& candidates,
                                                                   Random& random) const noexcept;

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
    std::vector<std::uint64_t> need_;  // scratch of prepare(), for each column
    std::vector<std::uint32_t> piles_;  // scratch of prepare(): two piles of columns, end to end
};

}  // namespace penstock::balancer
