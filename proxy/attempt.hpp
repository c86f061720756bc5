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
[[nodiscard]] std::optional<balancer::Failure> failure_of(AttemptError error) noexcept;

struct Attempt {
    std::shared_ptr<const balancer::Backend> backend;
    AttemptError error;
    std::uint32_t took_us;
};

}  // namespace penstock::proxy
