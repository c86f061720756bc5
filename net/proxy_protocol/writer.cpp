#include "net/proxy_protocol/writer.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>

#include <arpa/inet.h>

#include "net/proxy_protocol/crc32c.hpp"
#include "net/proxy_protocol/reader.hpp"
#include "net/proxy_protocol/wire.hpp"

namespace penstock::net::proxy_protocol {

namespace {

using Address6 = std::array<std::uint8_t, 16>;

bool is_ip(const CompactEndpoint& endpoint) { return endpoint.is_ipv4() || endpoint.is_ipv6(); }
bool has_addresses(const Header& header) {
    return !header.local && is_ip(header.source) && is_ip(header.destination);
}
bool all_ipv4(const Header& header) {
    return header.source.is_ipv4() && header.destination.is_ipv4();
}

// An IPv4 address becomes ::ffff:a.b.c.d.
Address6 as_ipv6(const CompactEndpoint& endpoint) {
    if (endpoint.is_ipv6()) return endpoint.bytes();
    Address6 mapped{};
    mapped[10] = mapped[11] = 0xff;
    std::copy_n(endpoint.bytes().begin(), 4, mapped.begin() + 12);
    return mapped;
}

// Groups of hexadecimal digits only: the specification knows no dotted form in an IPv6 address,
// which is what inet_ntop() makes of a mapped one.
std::string text6(const CompactEndpoint& endpoint) {
    char text[INET6_ADDRSTRLEN];
    const Address6 bytes = as_ipv6(endpoint);
    if (endpoint.is_ipv4())
        std::snprintf(text, sizeof text, "::ffff:%x:%x", bytes[12] << 8 | bytes[13],
                      bytes[14] << 8 | bytes[15]);
    else
        ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
    return text;
}

std::string text4(const CompactEndpoint& endpoint) {
    char text[INET_ADDRSTRLEN];
    ::inet_ntop(AF_INET, endpoint.bytes().data(), text, sizeof text);
    return text;
}

std::string write_v1(const Header& header) {
    std::string line(wire::v1_start);
    if (!has_addresses(header)) return line + "UNKNOWN\r\n";
    const bool ipv4 = all_ipv4(header);
    const auto text = ipv4 ? text4 : text6;
    line += ipv4 ? "TCP4 " : "TCP6 ";
    line += text(header.source) + ' ' + text(header.destination) + ' ';
    line += std::to_string(header.source.port()) + ' ';
    line += std::to_string(header.destination.port()) + "\r\n";
    return line;
}

void append_u16(std::string& out, std::size_t value) {
    out += static_cast<char>(value >> 8 & 0xff);
    out += static_cast<char>(value & 0xff);
}

void append_addresses(std::string& out, const Header& header) {
    const bool ipv4 = all_ipv4(header);
    for (const CompactEndpoint* endpoint : {&header.source, &header.destination}) {
        const Address6 bytes = ipv4 ? endpoint->bytes() : as_ipv6(*endpoint);
        out.append(reinterpret_cast<const char*>(bytes.data()), ipv4 ? 4 : 16);
    }
    append_u16(out, header.source.port());
    append_u16(out, header.destination.port());
}

// Those that fit into `most` bytes of header, the first ones before the others.
void append_tlvs(std::string& out, const Header& header, std::size_t most) {
    for (const Tlv& tlv : header.tlvs) {
        // A checksum of other bytes would make the header wrong, and padding says nothing.
        if (tlv.type == tlv_crc32c || tlv.type == tlv_noop) continue;
        if (out.size() + wire::tlv_start_size + tlv.value.size() > most) continue;
        out += static_cast<char>(tlv.type);
        append_u16(out, tlv.value.size());
        out += tlv.value;
    }
}

void set_length(std::string& out) {
    const std::size_t length = out.size() - wire::fixed_size;
    out[wire::fixed_size - 2] = static_cast<char>(length >> 8);
    out[wire::fixed_size - 1] = static_cast<char>(length & 0xff);
}

// `out` ends with a checksum field of zeros.
void set_crc32c(std::string& out) {
    const std::uint32_t crc = crc32c(std::as_bytes(std::span(out)));
    for (std::size_t i = 0; i < wire::crc32c_size; ++i)
        out[out.size() - 1 - i] = static_cast<char>(crc >> 8 * i & 0xff);
}

std::string write_v2(const Header& header, bool with_crc32c) {
    constexpr std::size_t checksum_size = wire::tlv_start_size + wire::crc32c_size;
    const bool addresses = has_addresses(header);
    std::uint8_t family = wire::unspec;
    if (addresses) family = all_ipv4(header) ? wire::tcp4 : wire::tcp6;
    std::string out(wire::signature);
    out += static_cast<char>(wire::version_2 |
                             (addresses ? wire::command_proxy : wire::command_local));
    out += static_cast<char>(family);
    append_u16(out, 0);
    if (addresses) append_addresses(out, header);
    append_tlvs(out, header, longest_v2 - (with_crc32c ? checksum_size : 0));
    if (with_crc32c) {
        out += static_cast<char>(tlv_crc32c);
        append_u16(out, wire::crc32c_size);
        out.append(wire::crc32c_size, '\0');
    }
    set_length(out);
    if (with_crc32c) set_crc32c(out);
    return out;
}

}  // namespace

std::string write(Version version, const Header& header, bool with_crc32c) {
    return version == Version::v1 ? write_v1(header) : write_v2(header, with_crc32c);
}

}  // namespace penstock::net::proxy_protocol
