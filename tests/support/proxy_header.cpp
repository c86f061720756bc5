#include "tests/support/proxy_header.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>
#include <sstream>
#include <utility>

namespace penstock::test {

namespace {

std::string big_endian(std::uint64_t value, unsigned bytes) {
    std::string text;
    for (unsigned i = bytes; i > 0; --i) text += static_cast<char>(value >> (8 * (i - 1)) & 0xFF);
    return text;
}

std::uint32_t number_at(std::string_view bytes, std::size_t at, unsigned size) {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < size; ++i)
        value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
}

bool is_v6(const std::string& address) { return address.starts_with('['); }

std::string host_in(const std::string& address) {
    const std::string host = address.substr(0, address.rfind(':'));
    return is_v6(address) ? host.substr(1, host.size() - 2) : host;
}

std::uint16_t port_in(const std::string& address) {
    return static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
}

std::string host_bytes(const std::string& address) {
    std::string bytes(is_v6(address) ? 16 : 4, '\0');
    ::inet_pton(is_v6(address) ? AF_INET6 : AF_INET, host_in(address).c_str(), bytes.data());
    return bytes;
}

std::string address_text(std::string_view host, std::uint32_t port) {
    char text[INET6_ADDRSTRLEN] = "";
    const bool v6 = host.size() == 16;
    ::inet_ntop(v6 ? AF_INET6 : AF_INET, host.data(), text, sizeof text);
    return (v6 ? "[" + std::string(text) + "]" : std::string(text)) + ":" + std::to_string(port);
}

std::optional<std::vector<ProxyTlv>> read_tlvs(std::string_view bytes) {
    std::vector<ProxyTlv> tlvs;
    while (!bytes.empty()) {
        if (bytes.size() < 3) return std::nullopt;
        const std::size_t size = number_at(bytes, 1, 2);
        if (bytes.size() < 3 + size) return std::nullopt;
        tlvs.push_back({static_cast<std::uint8_t>(bytes[0]), std::string(bytes.substr(3, size))});
        bytes.remove_prefix(3 + size);
    }
    return tlvs;
}

const std::string* find_in(const std::vector<ProxyTlv>& tlvs, std::uint8_t type) {
    for (const ProxyTlv& entry : tlvs)
        if (entry.type == type) return &entry.value;
    return nullptr;
}

// The checksum is over the whole header with four zeros in its own place.
bool crc_is_wrong(const ProxyHeader& header) {
    const std::string* value = header.find(tlv::crc32c);
    if (!value || value->size() != 4) return value != nullptr;
    std::string bytes = header.raw;
    const std::size_t at = bytes.find(std::string("\x03\x00\x04", 3) + *value);
    bytes.replace(at + 3, 4, 4, '\0');
    return big_endian(crc32c(bytes), 4) != *value;
}

std::optional<ProxyHeader> read_v1(Socket& socket, std::string bytes, milliseconds limit) {
    while (!bytes.ends_with("\r\n")) {
        const std::string next = socket.receive_text(1, limit);
        if (next.empty() || bytes.size() > 107) return std::nullopt;
        bytes += next;
    }
    ProxyHeader header{.version = 1, .command = "PROXY", .raw = bytes};
    std::istringstream words(bytes);
    std::string proxy;
    std::string family;
    std::string source;
    std::string destination;
    std::string source_port;
    std::string destination_port;
    words >> proxy >> family >> source >> destination >> source_port >> destination_port;
    if (family == "UNKNOWN") {
        header.command = family;
        return header;
    }
    if (family != "TCP4" && family != "TCP6") return std::nullopt;
    const bool v6 = family == "TCP6";
    header.source = (v6 ? "[" + source + "]" : source) + ":" + source_port;
    header.destination = (v6 ? "[" + destination + "]" : destination) + ":" + destination_port;
    return header;
}

std::optional<ProxyHeader> read_v2(Socket& socket, std::string bytes, milliseconds limit) {
    bytes += socket.receive_text(16 - bytes.size(), limit);
    if (bytes.size() != 16 || (bytes[12] & 0xF0) != 0x20) return std::nullopt;
    const std::size_t length = number_at(bytes, 14, 2);
    const std::string rest = socket.receive_text(length, limit);
    if (rest.size() != length) return std::nullopt;
    ProxyHeader header{
        .version = 2, .command = (bytes[12] & 0xF) == 0 ? "LOCAL" : "PROXY", .raw = bytes + rest};
    const auto family = static_cast<unsigned char>(bytes[13]) >> 4;
    const std::size_t host = family == 1 ? 4 : family == 2 ? 16 : 0;
    const std::size_t addresses = family == 3 ? 216 : host == 0 ? 0 : 2 * host + 4;
    if (rest.size() < addresses) return std::nullopt;
    const std::string_view view = rest;
    if (host > 0) {
        header.source = address_text(view.substr(0, host), number_at(view, 2 * host, 2));
        header.destination =
            address_text(view.substr(host, host), number_at(view, 2 * host + 2, 2));
    }
    auto tlvs = read_tlvs(view.substr(addresses));
    if (!tlvs) return std::nullopt;
    header.tlvs = std::move(*tlvs);
    header.crc_wrong = crc_is_wrong(header);
    return header;
}

}  // namespace

const std::string* ProxyHeader::find(std::uint8_t type) const { return find_in(tlvs, type); }
const std::string* ProxySsl::find(std::uint8_t type) const { return find_in(tlvs, type); }

std::string proxy_v1(const std::string& source, const std::string& destination) {
    return std::string("PROXY ") + (is_v6(source) ? "TCP6 " : "TCP4 ") + host_in(source) + " " +
           host_in(destination) + " " + std::to_string(port_in(source)) + " " +
           std::to_string(port_in(destination)) + "\r\n";
}

std::string encode_tlvs(const std::vector<ProxyTlv>& tlvs) {
    std::string bytes;
    for (const ProxyTlv& entry : tlvs)
        bytes += static_cast<char>(entry.type) + big_endian(entry.value.size(), 2) + entry.value;
    return bytes;
}

std::string proxy_v2_addresses(const std::string& source, const std::string& destination) {
    return host_bytes(source) + host_bytes(destination) + big_endian(port_in(source), 2) +
           big_endian(port_in(destination), 2);
}

std::string proxy_v2_raw(std::uint8_t command, std::uint8_t family, std::string_view payload,
                         std::optional<std::uint16_t> length) {
    const auto size = length.value_or(static_cast<std::uint16_t>(payload.size()));
    return std::string(proxy_v2_signature) + static_cast<char>(command) +
           static_cast<char>(family) + big_endian(size, 2) + std::string(payload);
}

std::string proxy_v2(const std::string& source, const std::string& destination,
                     const std::vector<ProxyTlv>& tlvs, bool with_crc) {
    std::string payload = proxy_v2_addresses(source, destination) + encode_tlvs(tlvs);
    if (with_crc) payload += encode_tlvs({{tlv::crc32c, std::string(4, '\0')}});
    std::string header = proxy_v2_raw(0x21, is_v6(source) ? 0x21 : 0x11, payload);
    if (with_crc) header.replace(header.size() - 4, 4, big_endian(crc32c(header), 4));
    return header;
}

std::string proxy_v2_local(const std::vector<ProxyTlv>& tlvs) {
    return proxy_v2_raw(0x20, 0x00, encode_tlvs(tlvs));
}

std::uint32_t crc32c(std::string_view bytes) {
    std::uint32_t sum = 0xFFFFFFFF;
    for (const char byte : bytes) {
        sum ^= static_cast<unsigned char>(byte);
        for (int i = 0; i < 8; ++i) sum = sum & 1 ? sum >> 1 ^ 0x82F63B78 : sum >> 1;
    }
    return ~sum;
}

std::optional<ProxySsl> read_ssl_tlv(std::string_view value) {
    if (value.size() < 5) return std::nullopt;
    auto tlvs = read_tlvs(value.substr(5));
    if (!tlvs) return std::nullopt;
    return ProxySsl{static_cast<std::uint8_t>(value[0]), number_at(value, 1, 4), std::move(*tlvs)};
}

std::optional<ProxyHeader> read_proxy_header(Socket& socket, milliseconds limit) {
    // Both forms are longer than this; a v1 header may end right behind it.
    const std::string bytes = socket.receive_text(12, limit);
    if (bytes == proxy_v2_signature) return read_v2(socket, bytes, limit);
    if (bytes.starts_with("PROXY ")) return read_v1(socket, bytes, limit);
    return std::nullopt;
}

ProxyHeaderBackend::ProxyHeaderBackend(const std::string& address)
    : backend_(
          [this](Socket& socket, const ChaosBackend& backend) {
              const auto header = read_proxy_header(socket);
              if (!header) {
                  ++without_;
                  return;
              }
              {
                  const std::scoped_lock lock(mutex_);
                  headers_.push_back(*header);
              }
              scripts::echo()(socket, backend);
          },
          address) {}

std::vector<ProxyHeader> ProxyHeaderBackend::headers() const {
    const std::scoped_lock lock(mutex_);
    return headers_;
}

std::vector<ProxyHeader> ProxyHeaderBackend::wait_headers(std::size_t count) const {
    std::vector<ProxyHeader> found;
    wait_for([&] {
        found = headers();
        std::erase_if(found, [](const ProxyHeader& header) { return header.command == "LOCAL"; });
        return found.size() >= count;
    });
    return found;
}

}  // namespace penstock::test
