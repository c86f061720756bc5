#include "balancer/retry_policy.hpp"

#include <algorithm>

namespace penstock::balancer {

namespace {

// min(max, base * 2^n), also where the product would overflow.
Duration backoff_limit(Duration base, Duration max, std::uint32_t n) noexcept {
    Duration limit = std::min(base, max);
    for (; n > 0 && limit > Duration::zero() && limit < max; --n)
        limit = limit > max / 2 ? max : limit * 2;
    return std::max(limit, Duration::zero());
}

}  // namespace

RetryDecision RetryPolicy::on_failure(bool other_left, Random& random) noexcept {
    ++failures_;
    if (failures_ >= attempts_) return {RetryAction::give_up};
    if (other_left) return {RetryAction::try_another};
    const Duration limit = backoff_limit(base_, max_, waits_++);
    const double wait = random.unit() * static_cast<double>(limit.count());
    return {RetryAction::wait, Duration(static_cast<Duration::rep>(wait))};
}

}  // namespace penstock::balancer
