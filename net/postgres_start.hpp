#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace penstock::net {

/// What a PostgreSQL client says first (protocol 3, "Message Formats": SSLRequest, GSSENCRequest,
/// CancelRequest, StartupMessage).
enum class PostgresStart : std::uint8_t {
    need_more,
    ssl_request,  // 8 bytes; answered with S or N
    gss_request,  // 8 bytes; answered with N
    cancel,       // 16 bytes or more: never encrypted by old clients
    startup,      // a start-up packet without TLS
    direct_tls,   // a TLS record: a client with sslnegotiation=direct
    invalid,
};

/// `bytes`: all that has come so far, or the first 8 of it.
[[nodiscard]] PostgresStart read_postgres_start(std::span<const std::byte> bytes) noexcept;

inline constexpr std::size_t postgres_request_size = 8;
/// The 8 bytes of a SSLRequest.
inline constexpr std::string_view postgres_ssl_request{"\0\0\0\x08\x04\xd2\x16\x2f", 8};

}  // namespace penstock::net
