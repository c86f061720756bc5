#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "balancer/backend.hpp"
#include "balancer/outcomes.hpp"
#include "base/attempt_error.hpp"

namespace penstock::proxy {

[[nodiscard]] AttemptError classify_connect_error(int error) noexcept;

/// What the breaker of the backend makes of it; nothing = it is not the backend's fault.
/// `early_reset_counts`: so does a reset so early that the connection never seemed to be there.
[[nodiscard]] std::optional<balancer::Failure> failure_of(AttemptError error,
                                                          bool early_reset_counts) noexcept;

/// How one attempt to reach a backend ended.
struct AttemptResult {
    AttemptError error = AttemptError::none;
    int number = 0;  // the errno, 0 = none
    bool is_ours = false;  // it failed for want of something here: says nothing about the backend
    [[nodiscard]] bool ok() const noexcept { return error == AttemptError::none; }
};
[[nodiscard]] AttemptResult attempt_result(int error) noexcept;

struct Attempt {
    std::shared_ptr<const balancer::Backend> backend;
    AttemptError error;
    std::uint32_t took_us;
};

}  // namespace penstock::proxy
