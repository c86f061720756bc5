#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

/// The shape of the header on the wire (proxy-protocol.txt 2.1, 2.2), for its reader and its
/// writer.
namespace penstock::net::proxy_protocol::wire {

inline constexpr std::string_view v1_start = "PROXY ";

inline constexpr std::string_view signature{"\r\n\r\n\0\r\nQUIT\n", 12};
inline constexpr std::size_t fixed_size = 16;  // signature, version and command, family, length

inline constexpr std::uint8_t version_2 = 0x20;  // the upper half of its byte
inline constexpr std::uint8_t command_local = 0x0;
inline constexpr std::uint8_t command_proxy = 0x1;

inline constexpr std::uint8_t unspec = 0x00;
inline constexpr std::uint8_t tcp4 = 0x11;
inline constexpr std::uint8_t udp4 = 0x12;
inline constexpr std::uint8_t tcp6 = 0x21;
inline constexpr std::uint8_t udp6 = 0x22;
inline constexpr std::uint8_t unix_stream = 0x31;
inline constexpr std::uint8_t unix_datagram = 0x32;

inline constexpr std::size_t tlv_start_size = 3;  // type, length
inline constexpr std::size_t crc32c_size = 4;
inline constexpr std::size_t longest_unique_id = 128;

}  // namespace penstock::net::proxy_protocol::wire
