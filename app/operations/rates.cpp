#include "app/operations/rates.hpp"

#include <algorithm>
#include <cmath>

namespace penstock::app {

// The first reading says nothing about how fast the counter grows.
void Rate::sample(std::uint64_t total, double elapsed_s) noexcept {
    if (begun_ && elapsed_s > 0) {
        const double now = static_cast<double>(total - std::min(last_, total)) / elapsed_s;
        rate_ += (now - rate_) * (1 - std::exp(-elapsed_s / memory_s));
        constexpr double nothing = 1e-3;
        if (now == 0 && rate_ < nothing) rate_ = 0;
    }
    begun_ = true;
    last_ = total;
}

void RecentTimes::sample(const metrics::HistogramTotals& totals, double elapsed_s) {
    if (totals.counts.empty()) return;
    if (last_.empty()) {
        last_.resize(totals.counts.size());
        weights_.resize(totals.counts.size());
        bounds_us_ = totals.bounds_us;
    }
    const double kept = std::exp(-elapsed_s / memory_s);
    for (std::size_t i = 0; i < last_.size(); ++i) {
        weights_[i] *= kept;
        if (totals.counts[i] > last_[i])
            weights_[i] += static_cast<double>(totals.counts[i] - last_[i]);
        last_[i] = totals.counts[i];
    }
}

admin::Quantiles RecentTimes::quantiles() const {
    if (weights_.empty()) return {};
    return {metrics::quantile_ms(bounds_us_, weights_, 0.5),
            metrics::quantile_ms(bounds_us_, weights_, 0.99)};
}

}  // namespace penstock::app
