#include "net/proxy_protocol/reader.hpp"

#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "base/endpoint.hpp"
#include "net/proxy_protocol/crc32c.hpp"
#include "tests/unit/net/bytes.hpp"

namespace penstock::net::proxy_protocol {
namespace {

using Status = Reading::Status;
using namespace std::string_literals;

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string v2(std::size_t version_command, std::size_t family, const std::string& block) {
    return signature + u8(version_command) + u8(family) + counted(2, block);
}
const std::string ipv4_block = "\x0a\x00\x00\x01\x0a\x00\x00\x02\x30\x39\x01\xbb"s;
std::string proxied(const std::string& tlvs) { return v2(0x21, 0x11, ipv4_block + tlvs); }
std::string tlv(std::size_t type, const std::string& value) { return u8(type) + counted(2, value); }

/// Puts the right checksum into the field that `header` ends with.
std::string with_crc32c(std::string header) {
    header.replace(header.size() - 4, 4, 4, '\0');
    const std::uint32_t crc = crc32c(bytes_of(header));
    return header.substr(0, header.size() - 4) + u16(crc >> 16) + u16(crc);
}

Reading read_text(std::string_view text, Accepts accepts = {}) {
    return read(bytes_of(text), accepts);
}

// What the reader says of each prefix, with nothing behind that a read could reach unnoticed.
std::vector<Reading> read_prefixes(const std::string& text, Accepts accepts = {}) {
    std::vector<Reading> readings;
    for (std::size_t size = 0; size <= text.size(); ++size) {
        const std::vector<char> copy(text.begin(),
                                     text.begin() + static_cast<std::ptrdiff_t>(size));
        readings.push_back(read_text({copy.data(), copy.size()}, accepts));
    }
    return readings;
}

void expect_valid_in_pieces(const std::string& text) {
    const auto readings = read_prefixes(text);
    for (std::size_t size = 0; size < text.size(); ++size)
        EXPECT_EQ(readings[size].status, Status::need_more)
            << size << ": " << readings[size].problem;
    EXPECT_EQ(readings.back().status, Status::complete) << readings.back().problem;
    EXPECT_EQ(readings.back().length, text.size());
}

// From the first byte on that tells, every reading is invalid and says why.
void expect_invalid_at(const std::string& text, std::size_t first_bad) {
    const auto readings = read_prefixes(text);
    for (std::size_t size = 0; size <= text.size(); ++size) {
        const bool bad = size >= first_bad;
        EXPECT_EQ(readings[size].status, bad ? Status::invalid : Status::need_more)
            << size << " of " << testing::PrintToString(text) << ": " << readings[size].problem;
        EXPECT_EQ(readings[size].problem.empty(), !bad);
        EXPECT_EQ(readings[size].header, Header{});
    }
}

// ------------------------------------------------------------------ version 1

struct ValidLine {
    std::string line;
    std::string source{};  // "" = none
    std::string destination{};
};

std::string text_of(const CompactEndpoint& endpoint) {
    return endpoint.empty() ? "" : endpoint.to_string();
}

TEST(ProxyProtocolReader, P1P2_ValidLinesInAnyPieces) {
    const std::string longest_ipv6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    const ValidLine cases[] = {
        {"PROXY TCP4 10.0.0.1 10.0.0.2 12345 443\r\n", "10.0.0.1:12345", "10.0.0.2:443"},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535",
         "255.255.255.255:65535"},
        {"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0"},
        {"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", "[2001:db8::1]:1", "[::1]:65535"},
        {"PROXY TCP6 2001:DB8::A :: 1 2\r\n", "[2001:db8::a]:1", "[::]:2"},
        {"PROXY TCP6 " + longest_ipv6 + " " + longest_ipv6 + " 65535 65535\r\n",
         "[" + longest_ipv6 + "]:65535", "[" + longest_ipv6 + "]:65535"},
        {"PROXY TCP6 ::ffff:10.0.0.1 ::ffff:a00:2 1 2\r\n", "10.0.0.1:1", "10.0.0.2:2"},
        {"PROXY UNKNOWN\r\n"},
        {"PROXY UNKNOWN \r\n"},
        {"PROXY UNKNOWN ffff:f...f:ffff any \0 thing\x80\r\n"s},
        {"PROXY UNKNOWN " + std::string(91, 'x') + "\r\n"},  // 107 bytes
    };
    for (const auto& [line, source, destination] : cases) {
        SCOPED_TRACE(line);
        expect_valid_in_pieces(line);
        const auto reading = read_text(line + "more\r\n");
        ASSERT_EQ(reading.status, Status::complete) << reading.problem;
        EXPECT_EQ(reading.version, Version::v1);
        EXPECT_EQ(reading.length, line.size());
        EXPECT_FALSE(reading.header.local);
        EXPECT_EQ(text_of(reading.header.source), source);
        EXPECT_EQ(text_of(reading.header.destination), destination);
        EXPECT_TRUE(reading.header.tlvs.empty());
    }
}

TEST(ProxyProtocolReader, P1_InvalidLinesAsEarlyAsTheyTell) {
    struct Case {
        std::string line;
        std::size_t first_bad;  // bytes
    };
    const std::string start = "PROXY TCP4 1.2.3.4 5.6.7.8 1 ";  // 29 bytes
    const Case cases[] = {
        {"GET / HTTP/1.1\r\n", 1},
        {"proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 1},
        {" PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 1},
        {"PROXX", 5},
        {"PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n", 6},
        {"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 7},
        {"PROXY\r\n", 6},
        {"PROXY \r\n", 7},
        {"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", 7},
        {"PROXY TCP 1.2.3.4 5.6.7.8 1 2\r\n", 10},
        {"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", 10},
        {"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n", 8},
        {"PROXY UNKNOWNS\r\n", 14},
        {"PROXY UNKNOW\r\n", 13},
        {"PROXY unknown\r\n", 7},
        {"PROXY TCP4\r\n", 11},
        {"PROXY TCP4 \r\n", 12},
        {"PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n", 11},
        {"PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", 12},
        {"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", 20},
        {"PROXY TCP4 1.2.3.4 5.6.7.8  1 2\r\n", 28},
        {"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", 17},
        {"PROXY TCP4 1.2.3.4.5 5.6.7.8 1 2\r\n", 21},
        {"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n", 21},
        {"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", 20},
        {"PROXY TCP4 0x1.2.3.4 5.6.7.8 1 2\r\n", 13},
        {"PROXY TCP4 1.2.3.4 localhost 1 2\r\n", 20},
        {"PROXY TCP4 ::1 ::1 1 2\r\n", 12},
        {"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", 29},
        {"PROXY TCP4 1.2.3.4 5.6.7.8\r\n", 27},
        {"PROXY TCP4 1.2.3.4\r\n", 19},
        {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", 31},
        {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", 31},
        {"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n", 29},
        {"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", 32},
        {"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n", 28},
        {"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", 28},
        {start + "00\r\n", 31},
        {start + "65536\r\n", 34},
        {start + "99999999999999999999\r\n", 34},
        {start + "2\t\r\n", 31},
        {start + "\r\n", 30},
        {start + "http\r\n", 30},
        {start + "2\n", 31},       // LF only
        {start + "2\r2\r\n", 32},  // CR only
        {"PROXY UNKNOWN\n", 14},
        {"PROXY UNKNOWN a\rb\r\n", 17},
        {"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", 19},
        {"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", 19},
        {"PROXY TCP6 [::1] ::1 1 2\r\n", 12},
        {"PROXY TCP6 1::2::3 ::1 1 2\r\n", 19},
        {"PROXY TCP6 12345::1 ::1 1 2\r\n", 20},
        {"PROXY TCP6 ::1 ::1 1\r\n", 21},
        {"PROXY TCP6 1:2:3:4:5:6:7 ::1 1 2\r\n", 25},
        {"PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n"s, 19},
        {"PROXY TCP4 " + std::string(60, '1'), 27},           // longer than any address
        {"PROXY UNKNOWN " + std::string(92, 'x') + "\r\n", 107},  // 108 bytes
        {"PROXY UNKNOWN " + std::string(93, 'x'), 107},
    };
    for (const auto& [line, first_bad] : cases) expect_invalid_at(line, first_bad);
}

TEST(ProxyProtocolReader, OnlyAcceptedVersions) {
    const std::string line = "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n";
    const std::string binary = proxied("");
    EXPECT_EQ(read_text(line, {.v1 = true, .v2 = false}).status, Status::complete);
    EXPECT_EQ(read_text(binary, {.v1 = false, .v2 = true}).status, Status::complete);
    EXPECT_EQ(read_text(line.substr(0, 1), {.v1 = false, .v2 = true}).status, Status::invalid);
    EXPECT_EQ(read_text(binary.substr(0, 1), {.v1 = true, .v2 = false}).status, Status::invalid);
    EXPECT_EQ(read_text("\x16\x03\x01"s).status, Status::invalid);
}

// ------------------------------------------------------------------ version 2

TEST(ProxyProtocolReader, P2P5_ValidBinaryHeadersInAnyPieces) {
    const std::string ipv6_block = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01" +
                                   std::string(15, '\0') + "\x01\x00\x01\xff\xff"s;
    struct Case {
        std::string bytes;
        std::string source{};
        std::string destination{};
        bool local = false;
    };
    const Case cases[] = {
        {proxied(""), "10.0.0.1:12345", "10.0.0.2:443"},
        {proxied(tlv(0x04, "")), "10.0.0.1:12345", "10.0.0.2:443"},
        {v2(0x21, 0x21, ipv6_block), "[2001:db8::1]:1", "[::1]:65535"},
        {v2(0x21, 0x00, "")},
        {v2(0x21, 0x31, std::string(216, 'x'))},
    };
    for (const auto& [bytes, source, destination, local] : cases) {
        expect_valid_in_pieces(bytes);
        const auto reading = read_text(bytes + "more");
        EXPECT_EQ(reading.version, Version::v2);
        EXPECT_EQ(reading.length, bytes.size());
        EXPECT_EQ(text_of(reading.header.source), source);
        EXPECT_EQ(text_of(reading.header.destination), destination);
        EXPECT_EQ(reading.header.local, local);
        EXPECT_TRUE(reading.header.tlvs.empty());
    }
}

TEST(ProxyProtocolReader, P3P5_InvalidBinaryHeadersAsEarlyAsTheyTell) {
    struct Case {
        std::string bytes;
        std::size_t first_bad;
    };
    std::vector<Case> cases = {
        {"\r\nGET / HTTP/1.1\r\n", 3},
        {"\r\n\r\n\0\r\nQUIX\n"s, 11},
        {v2(0x01, 0x11, ipv4_block), 13},
        {v2(0x11, 0x11, ipv4_block), 13},
        {v2(0x31, 0x11, ipv4_block), 13},
        {v2(0x21, 0x12, ipv4_block), 14},  // datagrams
        {v2(0x21, 0x22, std::string(36, 'x')), 14},
        {v2(0x21, 0x32, std::string(216, 'x')), 14},
        {v2(0x21, 0x11, ""), 16},
        {v2(0x21, 0x11, ipv4_block.substr(1)), 16},
        {v2(0x21, 0x21, std::string(35, 'x')), 16},
        {v2(0x21, 0x31, std::string(215, 'x')), 16},
        {signature + "\x21\x11\xff\xff"s + ipv4_block, 16},
        {signature + "\x20\x00\xff\xff"s, 16},
        {signature + "\x21\x11\x0f\xf1"s + ipv4_block, 16},  // 4097 bytes
    };
    for (std::size_t command = 2; command < 16; ++command)
        cases.push_back({v2(0x20 | command, 0x11, ipv4_block), 13});
    for (const unsigned family :
         {0x01U, 0x02U, 0x10U, 0x13U, 0x1fU, 0x20U, 0x30U, 0x41U, 0xf1U, 0xffU})
        cases.push_back({v2(0x21, family, ipv4_block), 14});
    for (const auto& [bytes, first_bad] : cases) expect_invalid_at(bytes, first_bad);
}

TEST(ProxyProtocolReader, P4_TlvsThatDoNotFitInside) {
    const std::string wrong[] = {
        "\x02"s,                                  // a stray byte
        "\x02\x00"s,                              // two
        "\x02\x00\x01"s,                          // nothing behind its length
        "\x02\xff\xff"s,                          // far beyond the end
        tlv(0x02, "a") + "\x04"s,                 // a stray byte behind a good one
        tlv(0x02, "a") + "\x02\x00\x02z"s,        // one byte beyond the end
        tlv(0x04, std::string(2, '\0')) + "\x00\x00"s,
    };
    for (const auto& tlvs : wrong) expect_invalid_at(proxied(tlvs), proxied(tlvs).size());
}

TEST(ProxyProtocolReader, P4_ManyTlvsAreBounded) {
    std::string tlvs;
    while (16 + ipv4_block.size() + tlvs.size() + 3 <= longest_v2) tlvs += tlv(0xe0, "");
    const auto reading = read_text(proxied(tlvs));
    ASSERT_EQ(reading.status, Status::complete) << reading.problem;
    EXPECT_EQ(reading.header.tlvs.size(), tlvs.size() / 3);
    EXPECT_EQ(reading.header.tlvs.capacity(), reading.header.tlvs.size());  // reserved once

    tlvs.clear();
    for (int i = 0; i < 16000; ++i) tlvs += tlv(0xe0, "");
    expect_invalid_at(proxied(tlvs).substr(0, 100), 16);
}

TEST(ProxyProtocolReader, TlvsInTheirOrderWithoutPadding) {
    const std::string value = "any\0\n\xff"s;
    const auto reading = read_text(proxied(tlv(0x02, "example.com") + tlv(0x04, "padding") +
                                           tlv(0xe0, value) + tlv(0x05, "") + tlv(0xe0, "2")));
    ASSERT_EQ(reading.status, Status::complete) << reading.problem;
    const std::vector<Tlv> expected{{0x02, "example.com"}, {0xe0, value}, {0x05, ""}, {0xe0, "2"}};
    EXPECT_EQ(reading.header.tlvs, expected);
    ASSERT_NE(reading.header.find(0xe0), nullptr);
    EXPECT_EQ(*reading.header.find(0xe0), value);
    EXPECT_EQ(reading.header.find(tlv_noop), nullptr);
}

TEST(ProxyProtocolReader, P4_UniqueIdIsShort) {
    const std::string longest = proxied(tlv(0x05, std::string(128, 'i')));
    expect_valid_in_pieces(longest);
    EXPECT_EQ(read_text(longest).header.tlvs.size(), 1U);
    EXPECT_EQ(read_text(proxied(tlv(0x05, std::string(129, 'i')))).problem,
              "a TLV has a unique id of more than 128 bytes");
    EXPECT_EQ(read_text(proxied(tlv(0xe0, std::string(129, 'i')))).status, Status::complete);
}

TEST(ProxyProtocolReader, P6_ChecksumRightWrongAbsentTwice) {
    // RFC 3720 B.4, and the check value that every table of CRCs gives.
    EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283U);
    EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8a9136aaU);
    EXPECT_EQ(crc32c(bytes_of("6789"), crc32c(bytes_of("12345"))), 0xe3069283U);

    const std::string right = with_crc32c(proxied(tlv(0x02, "name") + tlv(0x03, "....")));
    expect_valid_in_pieces(right);
    EXPECT_EQ(read_text(right).header.tlvs.size(), 1U);
    const std::size_t type_at = right.size() - 7;  // another type there is no checksum
    for (std::size_t at = 16; at < right.size(); ++at) {
        if (at == type_at) continue;
        std::string wrong = right;
        wrong[at] = static_cast<char>(wrong[at] ^ 0x10);
        EXPECT_EQ(read_text(wrong).status, Status::invalid) << at;
    }
    // In the midst of others it counts for all of them.
    std::string midst = proxied(tlv(0x03, std::string(4, '\0')) + tlv(0x02, "name"));
    const std::uint32_t crc = crc32c(bytes_of(midst));
    midst.replace(16 + 12 + 3, 4, u16(crc >> 16) + u16(crc));
    expect_valid_in_pieces(midst);

    const std::string two =
        proxied(tlv(0x03, std::string(4, '\0')) + tlv(0x03, std::string(4, '\0')));
    EXPECT_EQ(read_text(with_crc32c(two)).problem, "it has two checksums");
    EXPECT_EQ(read_text(proxied(tlv(0x03, ""))).status, Status::invalid);
    EXPECT_EQ(read_text(proxied(tlv(0x03, "123"))).status, Status::invalid);
    EXPECT_EQ(read_text(proxied(tlv(0x03, "12345"))).status, Status::invalid);
    EXPECT_EQ(read_text(v2(0x20, 0x00, tlv(0x03, "1234"))).status, Status::invalid);
}

TEST(ProxyProtocolReader, P7_ValuesAreKeptAsTheyAre) {
    const std::string nested = "\x07\0\0\0\0\x22\xff\xff\n\x1b[31m"s;  // overruns inside
    const auto reading = read_text(proxied(tlv(0x20, nested)));
    ASSERT_EQ(reading.status, Status::complete);
    EXPECT_EQ(*reading.header.find(tlv_ssl), nested);
}

TEST(ProxyProtocolReader, P8_LocalWithAndWithoutAddressesWithTlvs) {
    struct Case {
        std::string bytes;
        std::size_t tlvs;
    };
    const std::string name = tlv(0x02, "name");
    const Case cases[] = {
        {v2(0x20, 0x00, ""), 0},
        {v2(0x20, 0x11, ipv4_block), 0},
        {v2(0x20, 0x00, name), 1},
        {v2(0x20, 0x11, ipv4_block + name), 1},
        {v2(0x20, 0x12, ipv4_block + name), 1},
        {v2(0x20, 0x31, std::string(216, 'x') + name), 1},
        {v2(0x20, 0x11, ""), 0},            // too short for its family, which means nothing
        {v2(0x20, 0xff, "anything"), 0},    // a family that is none
    };
    for (const auto& [bytes, tlvs] : cases) {
        expect_valid_in_pieces(bytes);
        const auto reading = read_text(bytes + "GET");
        EXPECT_TRUE(reading.header.local);
        EXPECT_TRUE(reading.header.source.empty());
        EXPECT_TRUE(reading.header.destination.empty());
        EXPECT_EQ(reading.header.tlvs.size(), tlvs);
        EXPECT_EQ(reading.length, bytes.size());
    }
    const std::string stray = v2(0x20, 0x00, "x");
    expect_invalid_at(stray, stray.size());
}

TEST(ProxyProtocolReader, P11_WhatFollowsIsTheClients) {
    const std::string line = "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n";
    EXPECT_EQ(read_text(line + line).length, line.size());
    EXPECT_EQ(read_text(proxied("") + proxied("")).length, proxied("").size());
    EXPECT_EQ(read_text(line + proxied("")).length, line.size());
}

}  // namespace
}  // namespace penstock::net::proxy_protocol
