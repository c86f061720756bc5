#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock::net::proxy_protocol {

/// CRC-32C (Castagnoli; RFC 4960 appendix B) of several pieces in a row: start with 0, pass on what
/// the piece before gave.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes,
                                   std::uint32_t before = 0) noexcept;

}  // namespace penstock::net::proxy_protocol
