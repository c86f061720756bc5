#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "balancer/maglev_table.hpp"

namespace penstock::balancer {

/// Consistent hashing on a ring, point for point as nginx builds it for `hash ... consistent`:
/// 160 points for each unit of weight, point n of a backend being the CRC-32 of its address, a
/// zero byte, its port and point n - 1. A key belongs to the first point that is not before it.
///
/// Depends on the set of (name, weight) alone. Where two backends have the same point, the first
/// by name has it (with nginx: the first in the file). Immutable.
class RingTable {
public:
    static constexpr std::uint32_t points_per_weight = 160;
    /// 8 bytes each. Weights that would need more points (a sum above 6553) are divided by their
    /// greatest common divisor, and if need be scaled down; everybody keeps at least one point.
    static constexpr std::uint64_t max_points = 1U << 20;

    explicit RingTable(std::span<const HashEntry> entries);

    /// The place of the point that has the key, below size(). The ring must not be empty.
    [[nodiscard]] std::size_t find(std::uint32_t hash) const noexcept;
    /// The index of the entry that has the point.
    [[nodiscard]] std::uint32_t owner(std::size_t place) const noexcept { return owners_[place]; }
    [[nodiscard]] std::size_t next(std::size_t place) const noexcept {
        return place + 1 == owners_.size() ? 0 : place + 1;
    }
    /// Number of points; 0 when no entry has a weight.
    [[nodiscard]] std::size_t size() const noexcept { return owners_.size(); }
    /// Equal for rings that decide alike, in every process; else different.
    [[nodiscard]] std::uint64_t checksum() const noexcept { return checksum_; }

private:
    void index_points();

    // In the order of the ring.
    std::vector<std::uint32_t> hashes_;
    std::vector<std::uint32_t> owners_;
    // For each value of the upper bits of a hash, the first point that is not before it.
    std::vector<std::uint32_t> starts_;
    unsigned shift_ = 0;
    std::uint64_t checksum_ = 0;
};

}  // namespace penstock::balancer
