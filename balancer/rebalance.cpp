#include "balancer/rebalance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace penstock::balancer {

namespace {

__extension__ using Wide = unsigned __int128;

bool takes_part(const RebalanceBackend& backend) noexcept {
    return backend.available && backend.weight != 0;
}

std::vector<std::uint32_t> above_fair_share(std::span<const RebalanceBackend> backends) {
    std::uint64_t sessions = 0;
    std::uint64_t weights = 0;
    for (const auto& backend : backends)
        if (takes_part(backend)) {
            sessions += backend.sessions;
            weights += backend.weight;
        }
    std::vector<std::uint32_t> excess(backends.size());
    for (std::size_t i = 0; i < backends.size(); ++i) {
        const auto& backend = backends[i];
        if (!takes_part(backend)) continue;
        const Wide fair = (Wide{sessions} * backend.weight + weights - 1) / weights;
        if (backend.sessions > fair)
            excess[i] = static_cast<std::uint32_t>(backend.sessions - fair);
    }
    return excess;
}

std::uint64_t most_to_close(std::span<const RebalanceBackend> backends, double max_share) {
    std::uint64_t all = 0;
    for (const auto& backend : backends) all += backend.sessions;
    // 0.29 of 100 are 29, although the product comes to a little less.
    constexpr double rounding = 1e-6;
    const double share = max_share > 0 ? std::min(max_share, 1.0) : 0.0;  // not NaN
    return static_cast<std::uint64_t>(std::floor(share * static_cast<double>(all) + rounding));
}

/// Scales `parts`, whose sum is `sum`, to the smaller sum `target`.
void scale_down(std::vector<std::uint32_t>& parts, std::uint64_t sum, std::uint64_t target) {
    std::vector<std::uint64_t> remainders(parts.size());
    std::uint64_t left = target;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const Wide scaled = Wide{parts[i]} * target;
        parts[i] = static_cast<std::uint32_t>(scaled / sum);
        remainders[i] = static_cast<std::uint64_t>(scaled % sum);
        left -= parts[i];
    }
    std::vector<std::size_t> order(parts.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(order, std::ranges::greater{},
                             [&](std::size_t i) { return remainders[i]; });
    // Fewer are left than there are remainders above 0, so no part exceeds what it was.
    for (std::size_t i = 0; i < left; ++i) ++parts[order[i]];
}

}  // namespace

std::vector<std::uint32_t> plan_rebalance(std::span<const RebalanceBackend> backends,
                                          double max_share) {
    auto closing = above_fair_share(backends);
    const auto sum = std::accumulate(closing.begin(), closing.end(), std::uint64_t{0});
    if (const auto most = most_to_close(backends, max_share); sum > most)
        scale_down(closing, sum, most);
    return closing;
}

}  // namespace penstock::balancer
