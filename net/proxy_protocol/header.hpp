#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/endpoint.hpp"

namespace penstock::net::proxy_protocol {

/// The PROXY protocol of HAProxy (proxy-protocol.txt, 2020/03/05): what a proxy tells of its client
/// before the first byte of the connection.
enum class Version : std::uint8_t { v1, v2 };

/// Types of TLVs that mean something here.
inline constexpr std::uint8_t tlv_alpn = 0x01;
inline constexpr std::uint8_t tlv_authority = 0x02;
inline constexpr std::uint8_t tlv_crc32c = 0x03;
inline constexpr std::uint8_t tlv_noop = 0x04;
inline constexpr std::uint8_t tlv_unique_id = 0x05;
inline constexpr std::uint8_t tlv_ssl = 0x20;

struct Tlv {
    std::uint8_t type = 0;
    std::string value{};
    bool operator==(const Tlv&) const = default;
};

/// One header. Bytes that come from the wire (values of TLVs) may be anything.
struct Header {
    /// v2's command LOCAL: the sender speaks for itself.
    bool local = false;
    /// Empty where the header names none, or none that this proxy knows (UNKNOWN, UNSPEC, unix):
    /// then the addresses of the connection itself count.
    CompactEndpoint source{};
    CompactEndpoint destination{};
    /// In order; without those that only the header itself is about (CRC32C, NOOP).
    std::vector<Tlv> tlvs{};
    bool operator==(const Header&) const = default;

    /// The value of the first TLV of that type; null = none.
    [[nodiscard]] const std::string* find(std::uint8_t type) const noexcept {
        for (const Tlv& tlv : tlvs)
            if (tlv.type == type) return &tlv.value;
        return nullptr;
    }
};

/// The contents of tlv_ssl.
struct SslTlv {
    bool client_cert = false;  // given in this connection, and verified
    bool resumed_cert = false;  // given in this session, perhaps in an earlier connection
    std::string version{};  // TLSv1.3
    std::string cipher{};
    std::string common_name{};  // of the client's certificate; "" = none
};
/// Longer texts are left out of the value.
inline constexpr std::size_t longest_ssl_value = 256;
/// The value of a tlv_ssl. A client whose certificate counts for this connection has `client_cert`,
/// or `resumed_cert` alone where its session was resumed.
[[nodiscard]] std::string encode(const SslTlv& ssl);

}  // namespace penstock::net::proxy_protocol
