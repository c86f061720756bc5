#pragma once

#include <cstdint>
#include <string_view>

namespace penstock {

/// How one attempt to connect to a backend failed: the one vocabulary of access log, counters and
/// API.
enum class AttemptError : std::uint8_t {
    none,
    refused,
    timeout,
    unreachable,
    reset,
    no_port,  // no local port left for this destination
    no_fd,    // no descriptor left
    tls,      // the handshake with it failed
    other,
};
inline constexpr std::size_t attempt_error_count = 9;

/// Empty for none.
[[nodiscard]] std::string_view name_of(AttemptError error) noexcept;

}  // namespace penstock
