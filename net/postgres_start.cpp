#include "net/postgres_start.hpp"

#include <algorithm>

namespace penstock::net {

namespace {

constexpr std::uint8_t tls_handshake = 0x16;
// Lengths count themselves. The server takes no longer ones (MAX_STARTUP_PACKET_LENGTH).
constexpr std::uint32_t longest_packet = 10000;
constexpr std::uint32_t shortest_cancel = 16;
constexpr std::uint32_t longest_cancel = 12 + 256;  // keys of protocol 3.2

constexpr std::uint32_t cancel_code = 80877102;
constexpr std::uint32_t ssl_code = 80877103;
constexpr std::uint32_t gss_code = 80877104;
constexpr std::uint32_t protocol_major = 3;

std::uint32_t number(std::span<const std::byte> bytes) noexcept {
    std::uint32_t value = 0;
    for (const std::byte b : bytes) value = value << 8 | std::to_integer<std::uint32_t>(b);
    return value;
}

PostgresStart judge(std::uint32_t length, std::uint32_t code) noexcept {
    if (code == ssl_code || code == gss_code) {
        if (length != postgres_request_size) return PostgresStart::invalid;
        return code == ssl_code ? PostgresStart::ssl_request : PostgresStart::gss_request;
    }
    if (code == cancel_code)
        return length >= shortest_cancel && length <= longest_cancel ? PostgresStart::cancel
                                                                     : PostgresStart::invalid;
    return code >> 16 == protocol_major ? PostgresStart::startup : PostgresStart::invalid;
}

}  // namespace

PostgresStart read_postgres_start(std::span<const std::byte> bytes) noexcept {
    if (bytes.empty()) return PostgresStart::need_more;
    // A packet of that length would be 350 MB: nothing else begins so.
    if (std::to_integer<std::uint8_t>(bytes[0]) == tls_handshake) return PostgresStart::direct_tls;
    const auto first = bytes.first(std::min<std::size_t>(bytes.size(), 4));
    // The least that the length can become, and the most.
    const auto missing = static_cast<unsigned>(8 * (4 - first.size()));
    const std::uint64_t least = static_cast<std::uint64_t>(number(first)) << missing;
    const std::uint64_t most = least + ((std::uint64_t{1} << missing) - 1);
    if (least > longest_packet || most < postgres_request_size) return PostgresStart::invalid;
    if (bytes.size() < postgres_request_size) return PostgresStart::need_more;
    return judge(number(first), number(bytes.subspan(4, 4)));
}

}  // namespace penstock::net
