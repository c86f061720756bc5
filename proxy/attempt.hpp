#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "balancer/backend.hpp"

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

struct Attempt {
    const balancer::Backend* backend;
    AttemptError error;
    std::uint32_t took_us;
};

/// The failed attempts of a session; only sessions that had one pay for it.
using FailedAttempts = std::unique_ptr<std::vector<Attempt>>;

}  // namespace penstock::proxy
