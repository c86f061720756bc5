#include "balancer/weighted_draw.hpp"

namespace penstock::balancer {

namespace {

// With half of the weight allowed, 255 of 256 draws end here; with little of it, the walk over the
// few that are allowed is short as well.
constexpr int max_rejections = 8;

std::uint32_t walk(const Candidates& candidates, Random& random, std::uint32_t except) noexcept {
    const auto allowed = candidates.allowed.ones(candidates.begin, candidates.end);
    std::uint64_t total = 0;
    for (const std::uint32_t i : allowed)
        if (i != except) total += candidates.set.weight(i);
    auto left = static_cast<std::uint64_t>(random.unit() * static_cast<double>(total));
    std::uint32_t last = except;
    for (const std::uint32_t i : allowed) {
        if (i == except) continue;
        last = i;
        const std::uint64_t weight = candidates.set.weight(i);
        if (left < weight) break;
        left -= weight;
    }
    return last;
}

}  // namespace

WeightedDraw::WeightedDraw(const BackendSet& set, const BackendSet::Tier& tier)
    : begin_(tier.begin), columns_(tier.end - tier.begin) {
    // In units of 1 / (columns * total weight): a column holds `full`, a backend needs weight * columns.
    const std::uint64_t n = columns_.size();
    std::uint64_t full = 0;
    for (std::uint32_t i = tier.begin; i < tier.end; ++i) full += set.usable_weight(i);

    std::vector<std::uint64_t> need(n);
    std::vector<std::uint32_t> under;  // need less than their column
    std::vector<std::uint32_t> over;   // fill the rest of others' columns
    for (std::uint32_t c = 0; c < n; ++c) {
        need[c] = set.usable_weight(begin_ + c) * n;
        columns_[c] = {0xffff'ffff, c};
        (need[c] < full ? under : over).push_back(c);
    }
    while (!under.empty()) {
        const std::uint32_t low = under.back();
        const std::uint32_t high = over.back();
        under.pop_back();
        const double share = static_cast<double>(need[low]) / static_cast<double>(full);
        columns_[low] = {static_cast<std::uint32_t>(share * 0x1p32), high};
        need[high] -= full - need[low];
        if (need[high] < full) {
            over.pop_back();
            under.push_back(high);
        }
    }
}

std::uint32_t WeightedDraw::draw_any(Random& random) const noexcept {
    const std::uint64_t bits = random.next();
    const auto column = static_cast<std::uint32_t>(((bits >> 32) * columns_.size()) >> 32);
    const auto coin = static_cast<std::uint32_t>(bits);
    return begin_ + (coin < columns_[column].threshold ? column : columns_[column].alias);
}

std::uint32_t WeightedDraw::draw(const Candidates& candidates, Random& random,
                                 std::uint32_t except) const noexcept {
    for (int tries = 0; tries < max_rejections; ++tries) {
        const std::uint32_t i = draw_any(random);
        if (i != except && candidates.allowed.test(i)) return i;
    }
    return walk(candidates, random, except);
}

}  // namespace penstock::balancer
