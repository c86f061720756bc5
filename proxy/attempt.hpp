#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "balancer/backend.hpp"
#include "balancer/outcomes.hpp"

namespace penstock::proxy {

/// How one attempt to connect failed, in the words of the access log.
enum class AttemptError : std::uint8_t {
    none,
    refused,
    timeout,
    unreachable,
    reset,
    no_port,  // no local port left for this destination
    no_fd,    // no descriptor left
    other,
};

[[nodiscard]] std::string_view name_of(AttemptError error) noexcept;
[[nodiscard]] AttemptError classify_connect_error(int error) noexcept;

/// What the breaker of the backend makes of it; nothing = it is not the backend's fault.
[[nodiscard]] std::optional<balancer::Failure> failure_of(AttemptError error) noexcept;

struct Attempt {
    std::shared_ptr<const balancer::Backend> backend;
    AttemptError error;
    std::uint32_t took_us;
};

}  // namespace penstock::proxy
