#include "balancer/moved_share.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace penstock::balancer {

namespace {

constexpr std::uint32_t samples = 1U << 16;

// Who gets the key of number `i`; null = nobody.
using Owner = std::function<const std::string*(std::uint32_t i)>;

double share_of_others(std::uint32_t count, const Owner& before, const Owner& after) {
    std::uint32_t moved = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto* one = before(i);
        const auto* other = after(i);
        if (one == nullptr || other == nullptr ? one != other : *one != *other) ++moved;
    }
    return static_cast<double>(moved) / count;
}

Owner maglev_owner(const BackendSet& set) {
    return [&set](std::uint32_t i) -> const std::string* {
        const auto owners = set.maglev_table(0).owners();
        return &set.backend(set.ranges().front().begin + owners[i]).name();
    };
}

Owner ring_owner(const BackendSet& set) {
    return [&set](std::uint32_t i) -> const std::string* {
        const auto& ring = set.ring_table(0);
        if (ring.size() == 0) return nullptr;
        // Evenly over the ring.
        const std::size_t place = ring.find(i << 16);
        return &set.backend(set.ranges().front().begin + ring.owner(place)).name();
    };
}

}  // namespace

double moved_share(const BackendSet& before, const BackendSet& after) {
    if (before.hash_checksum() == 0 || after.hash_checksum() == 0) return 0;
    if (before.size() == 0 || after.size() == 0) return 0;  // they have no tables
    if (before.has_maglev() != after.has_maglev()) return 1;
    if (before.has_maglev()) {
        const auto slots = before.maglev_table(0).owners().size();
        if (slots == 0 || slots != after.maglev_table(0).owners().size()) return 1;
        return share_of_others(static_cast<std::uint32_t>(slots), maglev_owner(before),
                               maglev_owner(after));
    }
    return share_of_others(samples, ring_owner(before), ring_owner(after));
}

}  // namespace penstock::balancer
