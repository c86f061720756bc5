#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/endpoint.hpp"
#include "base/prefix.hpp"

namespace penstock::balancer {

/// Finds the longest of many networks that contains an address. Immutable: the networks, which
/// contain each other or are disjoint, are laid out as ranges in the order of their addresses, so
/// that a look-up is one binary search. An IPv4 peer is in IPv4 networks only: `::/0` does not mean
/// it.
class PrefixTable {
public:
    using Value = std::uint32_t;
    struct Entry {
        Prefix prefix;
        Value value;
    };

    PrefixTable() = default;
    /// Of equal networks the last one counts. Values have at most 31 bits.
    explicit PrefixTable(std::vector<Entry> entries);

    /// The value of the longest network with `peer`; nothing for a unix peer.
    [[nodiscard]] std::optional<Value> find(const CompactEndpoint& peer) const noexcept;
    [[nodiscard]] bool empty() const noexcept { return starts_.empty(); }

private:
    __extension__ using Address = unsigned __int128;  // as a number

    static Address address_of(const std::array<std::uint8_t, 16>& bytes) noexcept;
    void begin_range(Address start, Value value);

    static constexpr Value none = ~Value{0};
    std::vector<Address> starts_;  // ascending
    std::vector<Value> values_;  // of the range that begins there
};

}  // namespace penstock::balancer
