#include "app/operations/apportion.hpp"

#include <algorithm>
#include <numeric>

namespace penstock::app {

std::vector<std::size_t> apportion(const std::vector<std::size_t>& counts, std::uint64_t total) {
    const auto all = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
    std::vector<std::size_t> parts(counts.size());
    if (all == 0) return parts;
    total = std::min(total, all);
    std::vector<std::size_t> order(counts.size());
    std::iota(order.begin(), order.end(), 0);
    std::uint64_t given = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        parts[i] = static_cast<std::size_t>(total * counts[i] / all);
        given += parts[i];
    }
    std::ranges::stable_sort(order, std::ranges::greater(),
                             [&](std::size_t i) { return total * counts[i] % all; });
    for (std::size_t i = 0; given < total; ++i, ++given) ++parts[order[i]];
    return parts;
}

}  // namespace penstock::app
