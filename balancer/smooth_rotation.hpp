#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "balancer/backend_set.hpp"
#include "balancer/bitmap.hpp"
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

    /// Whose turn it is among the set bits of `allowed` in [begin, end), a part of the range with
    /// at least one set bit. O(end - begin).
    [[nodiscard]] std::uint32_t next(const Bitmap& allowed, std::uint32_t begin,
                                     std::uint32_t end) noexcept;
    /// Whose turn it is among `indices`, in rising order, not empty. O(indices).
    [[nodiscard]] std::uint32_t next(std::span<const std::uint32_t> indices) noexcept;
    /// Whose turn it is among all of the range.
    std::uint32_t next() noexcept;

private:
    struct Turn {
        std::int64_t credit;
        std::int64_t weight;
    };
    // What a round of all candidates has found so far.
    struct Round {
        Turn* leader = nullptr;
        std::int64_t total = 0;
    };
    static void pass(Turn* first, Turn* last, Round& round) noexcept;
    std::uint32_t take(const Round& round) noexcept;

    std::uint32_t begin_;
    std::vector<Turn> turns_;
};

}  // namespace penstock::balancer
