#pragma once

#include <cstdint>

#include "balancer/policy.hpp"

namespace penstock::balancer {

/// Who of the candidates may have one client's key. A hash policy walks its table until admits()
/// says yes, or it has walked far enough. Lives for one pick; O(candidates) to make where
/// `bounded_load` is not 0, else O(1).
class KeyedChoice {
public:
    /// `bounded_load` as PolicyOptions::bounded_load; `candidates` must outlive this, and its set
    /// must have hash tables.
    KeyedChoice(const Candidates& candidates, std::uint64_t key, double bounded_load) noexcept;

    /// It is allowed, below its bound, and of its keys it takes this one already: in a slow start
    /// it takes the share effective / whole weight of them, which of them follows from key and
    /// name, so that each key moves once.
    [[nodiscard]] bool admits(std::uint32_t i) const noexcept;

    /// Without a table: by rendezvous (Thaler and Ravishankar 1998; weighted as Schindelhauer and
    /// Schomaker 2005) among the allowed ones below their bounds. O(candidates).
    [[nodiscard]] std::uint32_t rendezvous() const noexcept;

private:
    [[nodiscard]] std::uint64_t hash_with(std::uint32_t i) const noexcept;
    [[nodiscard]] bool takes_key(std::uint32_t i) const noexcept;
    [[nodiscard]] bool below_bound(std::uint32_t i) const noexcept;

    const Candidates& candidates_;
    std::uint64_t key_;
    double bound_per_weight_ = 0;  // sessions that one unit of weight may hold; 0 = any number
};

}  // namespace penstock::balancer
