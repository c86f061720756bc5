#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "balancer/backend_set.hpp"
#include "base/random.hpp"

namespace penstock::balancer {

/// Smooth weighted round robin, as nginx defines it: each candidate's credit grows by its weight,
/// the one with most credit (the first of equals) takes the turn and pays the sum of the weights.
/// Turns of a heavy backend are spread out: weights 5, 1, 1 give a a b a c a a. Who is no candidate
/// for a while neither earns nor loses credit. One thread.
class SmoothRotation {
public:
    /// For the indices of `range`, of which each has its weight in `weights`; starts at the first
    /// turn, with no credit.
    SmoothRotation(const BackendSet::Range& range, std::span<const std::uint32_t> weights);

    /// `weights` as before; the credits stay. Never allocates.
    void reweigh(std::span<const std::uint32_t> weights) noexcept;

    /// Takes a random number of turns in which all took part. O(backends), with a bound on the
    /// whole work: of a very long rotation only the beginning is used.
    void start_anywhere(Random& random) noexcept;

    /// Whose turn it is among `indices` (a range of indices, not empty). O(indices).
    template <typename Indices>
    std::uint32_t next(const Indices& indices) noexcept {
        std::int64_t total = 0;
        std::uint32_t best = no_index;
        for (const std::uint32_t i : indices) {
            Turn& turn = turns_[i - begin_];
            turn.credit += turn.weight;
            total += turn.weight;
            if (best == no_index || turn.credit > turns_[best - begin_].credit) best = i;
        }
        turns_[best - begin_].credit -= total;
        return best;
    }

private:
    static constexpr std::uint32_t no_index = 0xffff'ffff;
    struct Turn {
        std::int64_t credit;
        std::int64_t weight;
    };

    std::uint32_t begin_;
    std::vector<Turn> turns_;
};

}  // namespace penstock::balancer
