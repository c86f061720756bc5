#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.hpp"

namespace penstock::net {

/// The smallest TTL of the answer's records of this type in a DNS message (RFC 1035), which may
/// come from anybody; nothing if the message is malformed or has no such record. A TTL with the
/// highest bit set is 0 (RFC 2181, section 8).
[[nodiscard]] std::optional<Duration> smallest_ttl(std::span<const std::uint8_t> message,
                                                   std::uint16_t type) noexcept;

inline constexpr std::uint16_t dns_type_srv = 33;

/// As DNS says it, in seconds; negative is 0.
[[nodiscard]] constexpr Duration ttl_of(std::int32_t seconds) noexcept {
    return std::chrono::seconds(seconds < 0 ? 0 : seconds);
}

}  // namespace penstock::net
