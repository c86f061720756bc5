#include "net/proxy_protocol/writer.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "base/endpoint.hpp"
#include "base/random.hpp"
#include "net/proxy_protocol/reader.hpp"
#include "tests/unit/net/bytes.hpp"

namespace penstock::net::proxy_protocol {
namespace {

using namespace std::string_literals;
using Status = Reading::Status;

CompactEndpoint at(std::string_view text) { return Endpoint::parse(text).value().ip(); }

Header between(std::string_view source, std::string_view destination) {
    return {.source = at(source), .destination = at(destination)};
}

Reading read_text(std::string_view text) { return read(bytes_of(text), {}); }

TEST(ProxyProtocolWriter, Lines) {
    const auto line = [](const Header& header) { return write(Version::v1, header, false); };
    EXPECT_EQ(line(between("10.0.0.1:80", "10.0.0.2:65535")),
              "PROXY TCP4 10.0.0.1 10.0.0.2 80 65535\r\n");
    EXPECT_EQ(line(between("[2001:db8::1]:80", "[::1]:0")), "PROXY TCP6 2001:db8::1 ::1 80 0\r\n");
    EXPECT_EQ(line(between("10.0.0.1:80", "[::1]:443")), "PROXY TCP6 ::ffff:a00:1 ::1 80 443\r\n");
    EXPECT_EQ(line({}), "PROXY UNKNOWN\r\n");
    EXPECT_EQ(line(between("unix:/run/a", "unix:/run/b")), "PROXY UNKNOWN\r\n");
    EXPECT_EQ(line({.source = at("10.0.0.1:80")}), "PROXY UNKNOWN\r\n");
    Header local = between("10.0.0.1:80", "10.0.0.2:443");
    local.local = true;
    EXPECT_EQ(line(local), "PROXY UNKNOWN\r\n");
}

TEST(ProxyProtocolWriter, BinaryHeaders) {
    const auto binary = [](const Header& header) { return write(Version::v2, header, false); };
    const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;
    EXPECT_EQ(binary(between("10.0.0.1:80", "10.0.0.2:443")),
              signature + "\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x50\x01\xbb"s);
    EXPECT_EQ(binary({}), signature + "\x20\x00\x00\x00"s);
    EXPECT_EQ(binary(between("10.0.0.1:80", "[::1]:443")),
              signature + "\x21\x21\x00\x24"s + std::string(10, '\0') +
                  "\xff\xff\x0a\x00\x00\x01"s + std::string(15, '\0') + "\x01\x00\x50\x01\xbb"s);
    Header local = between("10.0.0.1:80", "10.0.0.2:443");
    local.local = true;
    local.tlvs = {{0xe0, "a"}};
    EXPECT_EQ(binary(local), signature + "\x20\x00\x00\x04\xe0\x00\x01\x61"s);
}

TEST(ProxyProtocolWriter, ChecksumIsLastAndRight) {
    Header header = between("10.0.0.1:80", "10.0.0.2:443");
    header.tlvs = {{tlv_authority, "example.com"}};
    const std::string bytes = write(Version::v2, header, true);
    ASSERT_EQ(bytes.size(), 16U + 12 + 14 + 7);
    EXPECT_EQ(bytes.substr(bytes.size() - 7, 3), "\x03\x00\x04"s);
    EXPECT_EQ(read_text(bytes).header, header);
    std::string changed = bytes;
    changed[20] = static_cast<char>(changed[20] ^ 1);
    EXPECT_EQ(read_text(changed).status, Status::invalid);
}

TEST(ProxyProtocolWriter, P10_StaleChecksumsAndPaddingAreNotRepeated) {
    Header header = between("10.0.0.1:80", "10.0.0.2:443");
    header.tlvs = {{tlv_crc32c, "1234"}, {tlv_noop, "xx"}, {0xe1, "kept"}};
    const auto reading = read_text(write(Version::v2, header, false));
    ASSERT_EQ(reading.status, Status::complete) << reading.problem;
    EXPECT_EQ(reading.header.tlvs, (std::vector<Tlv>{{0xe1, "kept"}}));
}

TEST(ProxyProtocolWriter, P4_WhatDoesNotFitIsLeftOutAndWhatDoesIsNot) {
    Header header = between("10.0.0.1:80", "10.0.0.2:443");
    header.tlvs = {{0xe0, "first"},
                   {0xe1, std::string(4000, 'x')},
                   {0xe2, std::string(300, 'y')},
                   {0xe3, "last"}};
    for (const bool checksum : {false, true}) {
        const auto reading = read_text(write(Version::v2, header, checksum));
        ASSERT_EQ(reading.status, Status::complete) << reading.problem;
        ASSERT_EQ(reading.header.tlvs.size(), 3U);
        EXPECT_EQ(reading.header.tlvs[1].type, 0xe1);
        EXPECT_EQ(reading.header.tlvs[2].value, "last");
    }
    // The longest header is one that the reader takes.
    header.tlvs = {{0xe0, std::string(longest_v2 - 16 - 12 - 3 - 7, 'x')}};
    const std::string bytes = write(Version::v2, header, true);
    EXPECT_EQ(bytes.size(), longest_v2);
    EXPECT_EQ(read_text(bytes).header, header);
    header.tlvs = {{0xe0, std::string(70000, 'x')}};
    EXPECT_TRUE(read_text(write(Version::v2, header, true)).header.tlvs.empty());
}

CompactEndpoint random_endpoint(Random& random) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = static_cast<in_port_t>(random.below(65536));
    if (random.below(2) == 0) {
        sockaddr_in ipv4{};
        ipv4.sin_family = AF_INET;
        ipv4.sin_port = address.sin6_port;
        ipv4.sin_addr.s_addr = static_cast<std::uint32_t>(random.next());
        return CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&ipv4),
                                              sizeof ipv4);
    }
    for (std::uint8_t& byte : address.sin6_addr.s6_addr)
        byte = random.below(3) == 0 ? 0 : static_cast<std::uint8_t>(random.below(256));
    return CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address),
                                          sizeof address);
}

Header random_header(Random& random) {
    Header header;
    header.local = random.below(4) == 0;
    if (!header.local) {
        header.source = random_endpoint(random);
        header.destination = random_endpoint(random);
    }
    for (auto left = random.below(8); left > 0; --left) {
        const auto type = static_cast<std::uint8_t>(random.below(256));
        if (type == tlv_crc32c || type == tlv_noop) continue;
        std::string value(random.below(random.below(3) == 0 ? 500 : 20), '\0');
        for (char& c : value) c = static_cast<char>(random.below(256));
        header.tlvs.push_back({.type = type, .value = std::move(value)});
    }
    return header;
}

TEST(ProxyProtocolWriter, P10_WhatIsWrittenIsRead) {
    Random random(10);
    for (int i = 0; i < 20000; ++i) {
        const Header header = random_header(random);
        const bool checksum = random.below(2) == 0;
        const std::string bytes = write(Version::v2, header, checksum);
        const auto reading = read_text(bytes + "payload");
        ASSERT_EQ(reading.status, Status::complete) << i << ": " << reading.problem;
        ASSERT_EQ(reading.length, bytes.size()) << i;
        ASSERT_EQ(reading.header, header) << i;

        const std::string line = write(Version::v1, header, checksum);
        const auto text = read_text(line + "payload");
        ASSERT_EQ(text.status, Status::complete) << line << text.problem;
        ASSERT_EQ(text.length, line.size());
        ASSERT_EQ(text.header.source, header.source) << line;
        ASSERT_EQ(text.header.destination, header.destination) << line;
    }
}

TEST(ProxyProtocolWriter, P8_WhatIsReadIsWrittenAgain) {
    // CVE-2024-23327: a LOCAL header without addresses, passed on in both versions.
    const auto local = read_text("\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"s);
    ASSERT_EQ(local.status, Status::complete);
    EXPECT_EQ(write(Version::v1, local.header, true), "PROXY UNKNOWN\r\n");
    EXPECT_TRUE(read_text(write(Version::v2, local.header, true)).header.local);
    const auto unknown = read_text("PROXY UNKNOWN\r\n");
    EXPECT_TRUE(read_text(write(Version::v2, unknown.header, false)).header.local);
}

TEST(ProxyProtocolWriter, P7_SslTlv) {
    EXPECT_EQ(encode(SslTlv{.version = "TLSv1.3", .cipher = "C"}),
              "\x01\0\0\0\x01\x21\0\x07TLSv1.3\x23\0\x01"s + "C");
    EXPECT_EQ(encode(SslTlv{.client_cert = true, .common_name = "a\nb"}),
              "\x07\0\0\0\0\x22\0\x03"s + "a\nb");
    EXPECT_EQ(encode(SslTlv{.resumed_cert = true}), "\x05\0\0\0\0"s);
    EXPECT_EQ(encode(SslTlv{.common_name = std::string(longest_ssl_value, 'x')}).size(),
              5 + 3 + longest_ssl_value);
    EXPECT_EQ(encode(SslTlv{.common_name = std::string(65536, 'x')}).size(), 5U);
}

}  // namespace
}  // namespace penstock::net::proxy_protocol
