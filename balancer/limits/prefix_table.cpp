#include "balancer/limits/prefix_table.hpp"

#include <algorithm>

namespace penstock::balancer {

namespace {

constexpr std::uint8_t mapped_bits = 96;
constexpr Prefix ipv4{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, mapped_bits};

}  // namespace

PrefixTable::Address PrefixTable::address_of(const std::array<std::uint8_t, 16>& bytes) noexcept {
    Address address = 0;
    for (const std::uint8_t byte : bytes) address = address << 8 | byte;
    return address;
}

// Those around a network come before it, and end after it: a stack holds the open ones.
PrefixTable::PrefixTable(std::vector<Entry> entries) {
    if (entries.empty()) return;
    entries.insert(entries.begin(), {ipv4, none});  // keeps IPv6 networks away from IPv4 peers
    std::ranges::stable_sort(entries, {}, &Entry::prefix);
    struct Open {
        Address last;
        Value value;
    };
    std::vector<Open> open;
    const auto close_before = [&](Address start) {
        while (!open.empty() && open.back().last < start) {
            const Address behind = open.back().last + 1;
            open.pop_back();
            begin_range(behind, open.empty() ? none : open.back().value);
        }
    };
    begin_range(0, none);
    for (const auto& [prefix, value] : entries) {
        const Address start = address_of(prefix.bytes);
        const Address size_less_one =
            prefix.length == 0 ? ~Address{0} : (Address{1} << (128 - prefix.length)) - 1;
        close_before(start);
        begin_range(start, value);
        open.push_back({start + size_less_one, value});
    }
    // What reaches up to the last address has no end.
    while (!open.empty() && open.back().last != ~Address{0}) {
        const Address behind = open.back().last + 1;
        open.pop_back();
        begin_range(behind, open.empty() ? none : open.back().value);
    }
    starts_.shrink_to_fit();
    values_.shrink_to_fit();
}

void PrefixTable::begin_range(Address start, Value value) {
    if (!starts_.empty() && starts_.back() == start) {
        values_.back() = value;
        return;
    }
    if (!values_.empty() && values_.back() == value) return;
    starts_.push_back(start);
    values_.push_back(value);
}

std::optional<PrefixTable::Value> PrefixTable::find(const CompactEndpoint& peer) const noexcept {
    if (starts_.empty() || peer.is_unix()) return std::nullopt;
    const Address address = address_of(Prefix::mapped(peer));
    const Address* base = starts_.data();
    for (std::size_t n = starts_.size(); n > 1;) {  // without branches: the outcomes are random
        const std::size_t half = n / 2;
        base = base[half] <= address ? base + half : base;
        n -= half;
    }
    const Value value = values_[static_cast<std::size_t>(base - starts_.data())];
    return value == none ? std::nullopt : std::optional(value);
}

}  // namespace penstock::balancer
