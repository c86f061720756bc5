#pragma once

#include <string>

#include "net/proxy_protocol/header.hpp"

namespace penstock::net::proxy_protocol {

/// The bytes of a header. Without both addresses, or with addresses that the version cannot say
/// (unix): UNKNOWN (v1), LOCAL (v2). v1 has no TLVs. An IPv4 and an IPv6 address in one header are
/// both sent as IPv6. `with_crc32c` (v2): the last TLV is the checksum. A TLV that would make the
/// header longer than longest_v2 is left out; those behind it that fit are not.
[[nodiscard]] std::string write(Version version, const Header& header, bool with_crc32c);

}  // namespace penstock::net::proxy_protocol
