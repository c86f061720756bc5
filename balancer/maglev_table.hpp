#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace penstock::balancer {

/// One backend of a hash table.
struct HashEntry {
    std::string_view name;  // unique among the entries
    std::uint32_t weight;   // at most 65535; with 0 it gets no key
};

/// The indices of `entries` in the order of the names: what a table is built in, so that it does
/// not depend on the order of a file.
[[nodiscard]] std::vector<std::uint32_t> order_by_name(std::span<const HashEntry> entries);

/// Consistent hashing with a table of fixed size (Eisenbud et al., Maglev, NSDI 2016): the backends
/// take turns, in proportion to weight, and each takes the next slot of a permutation of its own
/// that nobody has. Depends on the set of (name, weight) and the seed alone. Immutable.
class MaglevTable {
public:
    /// Prime, and enough for some 650 backends of equal weight to differ by less than a hundredth.
    /// Whose share is below one slot may get none.
    static constexpr std::uint32_t slots = 65537;

    MaglevTable(std::span<const HashEntry> entries, std::uint64_t seed);

    /// The index of the entry that has the key. Some entry must have had a weight.
    [[nodiscard]] std::uint32_t at(std::uint64_t hash) const noexcept {
        return owners_[hash % slots];
    }
    /// The index of each slot's entry; empty when no entry has a weight.
    [[nodiscard]] std::span<const std::uint32_t> owners() const noexcept { return owners_; }
    /// Equal for tables that decide alike, in every process; else different.
    [[nodiscard]] std::uint64_t checksum() const noexcept { return checksum_; }

private:
    std::vector<std::uint32_t> owners_;
    std::uint64_t checksum_ = 0;
};

}  // namespace penstock::balancer
