#include "balancer/retry_policy.hpp"

namespace penstock::balancer {

RetryDecision RetryPolicy::on_failure(bool other_left, Random& random) noexcept {
    ++failures_;
    if (failures_ >= attempts_) return {RetryAction::give_up};
    if (other_left) return {RetryAction::try_another};
    return {RetryAction::wait, backoff_.next(random)};
}

}  // namespace penstock::balancer
