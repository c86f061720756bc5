#pragma once

#include <cstdint>
#include <string_view>

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

}  // namespace penstock::proxy
