#include "health/availability.hpp"

#include <algorithm>
#include <utility>

namespace penstock::health {

bool TierCount::in_panic(double threshold) const noexcept {
    if (threshold <= 0 || candidates == healthy + pending) return false;
    return static_cast<double>(healthy) / static_cast<double>(candidates) < threshold;
}

Admission admit(const Standing& standing, Role asked, bool tier_in_panic) noexcept {
    if (!standing.is_candidate(asked) || standing.pending) return {};
    if (tier_in_panic) return {.available = true, .forced = !standing.is_healthy()};
    return {.available = standing.is_usable(), .forced = false};
}

TierCount TierBook::tier(std::uint32_t tier, Role asked) const noexcept {
    const auto found = tiers_.find(tier);
    return found == tiers_.end() ? TierCount{} : found->second[std::to_underlying(asked)];
}

template <typename Predicate>
bool TierBook::any_tier(Role asked, Predicate predicate) const noexcept {
    return std::ranges::any_of(tiers_, [&](const auto& tier) {
        return predicate(tier.second[std::to_underlying(asked)]);
    });
}

bool TierBook::panics(const TierCount& tier, Role asked) const noexcept {
    if (!tier.in_panic(threshold_)) return false;
    return tier.healthy > 0 ||
           !any_tier(asked, [](const TierCount& other) { return other.healthy > 0; });
}

bool TierBook::in_panic(std::uint32_t number, Role asked) const noexcept {
    return panics(tier(number, asked), asked);
}

bool TierBook::any_in_panic(Role asked) const noexcept {
    return any_tier(asked, [&](const TierCount& tier) { return panics(tier, asked); });
}

std::vector<std::uint32_t> TierBook::tiers_in_panic(Role asked) const {
    std::vector<std::uint32_t> found;
    for (const auto& [number, counts] : tiers_)
        if (panics(counts[std::to_underlying(asked)], asked)) found.push_back(number);
    return found;
}

std::uint32_t TierBook::available(Role asked) const noexcept {
    std::uint32_t sum = 0;
    for (const auto& [number, counts] : tiers_) {
        const auto& tier = counts[std::to_underlying(asked)];
        sum += panics(tier, asked) ? tier.candidates - tier.pending : tier.usable;
    }
    return sum;
}

std::uint32_t TierBook::candidates(Role asked) const noexcept {
    std::uint32_t sum = 0;
    for (const auto& [number, counts] : tiers_) sum += counts[std::to_underlying(asked)].candidates;
    return sum;
}

bool TierBook::replace(const Standing& before, const Standing& after) {
    const auto in_panic_now = [this] {
        return std::array{tiers_in_panic(Role::none), tiers_in_panic(Role::primary),
                          tiers_in_panic(Role::replica)};
    };
    const auto were = in_panic_now();
    remove(before);
    add(after);
    return in_panic_now() != were;
}

void TierBook::count(const Standing& standing, int by) {
    if (!standing.is_candidate(Role::none)) return;
    const auto delta = static_cast<std::uint32_t>(by);  // -1 wraps around, as the sums do
    const auto tier = tiers_.try_emplace(standing.tier).first;
    for (std::size_t role = 0; role < role_count; ++role) {
        if (!standing.is_candidate(static_cast<Role>(role))) continue;
        TierCount& count = tier->second[role];
        count.candidates += delta;
        if (standing.pending) {
            count.pending += delta;
            continue;
        }
        if (standing.is_healthy()) count.healthy += delta;
        if (standing.is_usable()) count.usable += delta;
    }
    if (tier->second[std::to_underlying(Role::none)].candidates == 0) tiers_.erase(tier);
}

}  // namespace penstock::health
