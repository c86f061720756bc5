#include "balancer/weighted_draw.hpp"

namespace penstock::balancer {

namespace {

// Enough unless this client has tried backends of nearly all the weight: with half of it left, 255
// of 256 draws need no more.
constexpr int max_rejections = 8;

std::uint32_t walk(const Candidates& candidates, Random& random, std::uint32_t except) noexcept {
    const auto allowed = candidates.allowed.ones(candidates.begin, candidates.end);
    std::uint64_t total = 0;
    for (const std::uint32_t i : allowed)
        if (i != except) total += candidates.weights[i];
    auto left = static_cast<std::uint64_t>(random.unit() * static_cast<double>(total));
    std::uint32_t last = except;
    for (const std::uint32_t i : allowed) {
        if (i == except) continue;
        last = i;
        const std::uint64_t weight = candidates.weights[i];
        if (left < weight) break;
        left -= weight;
    }
    return last;
}

}  // namespace

WeightedDraw::WeightedDraw(const BackendSet::Range& range)
    : begin_(range.begin),
      columns_(range.end - range.begin),
      need_(columns_.size()),
      piles_(columns_.size()) {}

void WeightedDraw::prepare(const Bitmap& available,
                           std::span<const std::uint32_t> weights) noexcept {
    // In units of 1 / (columns * total weight): a column holds `full`, a backend needs its weight
    // times the number of columns.
    const std::size_t n = columns_.size();
    std::uint64_t full = 0;
    for (const std::uint32_t i : available.ones(begin_, begin_ + n)) full += weights[i];
    if (full == 0) return;

    std::size_t under = 0;  // piles_[0, under): they need less than their column
    std::size_t over = n;  // piles_[over, n): they fill the rest of others' columns
    const auto file = [&](std::uint32_t c) { piles_[need_[c] < full ? under++ : --over] = c; };
    for (std::uint32_t c = 0; c < n; ++c) {
        need_[c] = available.test(begin_ + c) ? weights[begin_ + c] * std::uint64_t{n} : 0;
        columns_[c] = {0xffff'ffff, c};
        file(c);
    }
    // The needs always add up to the columns left: while one needs less, another needs more.
    while (under != 0) {
        const std::uint32_t low = piles_[--under];
        const std::uint32_t high = piles_[over++];
        const double share = static_cast<double>(need_[low]) / static_cast<double>(full);
        columns_[low] = {static_cast<std::uint32_t>(share * 0x1p32), high};
        need_[high] -= full - need_[low];
        file(high);
    }
}

std::uint32_t WeightedDraw::draw_any(Random& random) const noexcept {
    const std::uint64_t bits = random.next();
    const auto column = static_cast<std::uint32_t>(((bits >> 32) * columns_.size()) >> 32);
    const auto coin = static_cast<std::uint32_t>(bits);
    const Column drawn = columns_[column];  // whole, so that the choice needs no branch
    return begin_ + (coin < drawn.threshold ? column : drawn.alias);
}

std::uint32_t WeightedDraw::draw(const Candidates& candidates, Random& random,
                                 std::uint32_t except) const noexcept {
    for (int tries = 0; tries < max_rejections; ++tries) {
        const std::uint32_t i = draw_any(random);
        if (i != except && candidates.allowed.test(i)) return i;
    }
    return walk(candidates, random, except);
}

std::pair<std::uint32_t, std::uint32_t> WeightedDraw::draw_two(const Candidates& candidates,
                                                               Random& random) const noexcept {
    const auto& allowed = candidates.allowed;
    const auto end = candidates.end;
    const auto one = static_cast<std::uint32_t>(allowed.find_next(candidates.begin, end));
    const auto two = static_cast<std::uint32_t>(allowed.find_next(one + 1, end));
    if (two == end) return {one, one};
    const std::uint32_t first = draw(candidates, random);
    if (!allowed.any_in(two + 1, end)) return {first, first == one ? two : one};
    return {first, draw(candidates, random, first)};
}

}  // namespace penstock::balancer
