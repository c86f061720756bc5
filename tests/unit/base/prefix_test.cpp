#include "base/prefix.hpp"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "base/endpoint.hpp"

namespace penstock {
namespace {

std::array<std::uint8_t, 16> address(std::string_view peer) {
    return Prefix::mapped(Endpoint::parse(peer)->ip());
}

TEST(Prefix, ReadsNetworksAndAddresses) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"10.0.0.1", "10.0.0.1/32"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"255.255.255.255/32", "255.255.255.255/32"},
        {"192.168.1.128/25", "192.168.1.128/25"},
        {"2001:db8::/32", "2001:db8::/32"},
        {"2001:DB8:0::0/32", "2001:db8::/32"},
        {"::1", "::1/128"},
        {"::/0", "::/0"},
        {"fe80::/10", "fe80::/10"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8"},
        {"::ffff:10.0.0.1", "10.0.0.1/32"},
    };
    for (const auto& [text, printed] : rows) {
        const auto prefix = Prefix::parse(text);
        ASSERT_TRUE(prefix) << text << ": " << prefix.error();
        EXPECT_EQ(prefix->to_string(), printed) << text;
        EXPECT_EQ(Prefix::parse(printed), prefix) << "what is printed reads back: " << text;
    }
}

TEST(Prefix, SaysWhatIsWrong) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"", "this is neither an IPv4 nor an IPv6 address"},
        {"/8", "this is neither an IPv4 nor an IPv6 address"},
        {"10.0.0", "this is neither an IPv4 nor an IPv6 address"},
        {"10.0.0.256", "this is neither an IPv4 nor an IPv6 address"},
        {"10.0.0.1:80", "this is neither an IPv4 nor an IPv6 address"},
        {" 10.0.0.1", "this is neither an IPv4 nor an IPv6 address"},
        {"host", "this is neither an IPv4 nor an IPv6 address"},
        {"fe80::1%eth0", "this is neither an IPv4 nor an IPv6 address"},
        {"10.0.0.0/", "the length after '/' is not a number"},
        {"10.0.0.0/x", "the length after '/' is not a number"},
        {"10.0.0.0/8x", "the length after '/' is not a number"},
        {"10.0.0.0/-1", "the length after '/' is not a number"},
        {"10.0.0.0/ 8", "the length after '/' is not a number"},
        {"10.0.0.0/99999999999999999999", "the length after '/' is not a number"},
        {"10.0.0.0/255.0.0.0", "the length after '/' is not a number"},
        {"10.0.0.0/33", "the length after '/' is above 32"},
        {"2001:db8::/129", "the length after '/' is above 128"},
    };
    for (const auto& [text, message] : rows) {
        const auto prefix = Prefix::parse(text);
        ASSERT_FALSE(prefix) << text;
        EXPECT_EQ(prefix.error(), message) << text;
    }
}

TEST(Prefix, HostBitsNameTheNetworkMeant) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"10.1.2.3/8", "10.0.0.0/8"},          {"10.0.0.1/31", "10.0.0.0/31"},
        {"10.0.0.129/25", "10.0.0.128/25"},    {"1.2.3.4/0", "0.0.0.0/0"},
        {"2001:db8::1/32", "2001:db8::/32"},   {"::1/0", "::/0"},
        {"2001:db8:80::/33", "2001:db8::/33"},
    };
    for (const auto& [text, network] : rows) {
        const auto prefix = Prefix::parse(text);
        ASSERT_FALSE(prefix) << text;
        EXPECT_EQ(prefix.error(),
                  "it has bits set behind the prefix; the network is " + std::string(network))
            << text;
        EXPECT_TRUE(Prefix::parse(network)) << network;
    }
}

TEST(Prefix, ContainsExactlyItsAddresses) {
    struct Row {
        std::string_view prefix, peer;
        bool inside;
    };
    const Row rows[] = {
        {"10.0.0.0/8", "10.0.0.0:1", true},
        {"10.0.0.0/8", "10.255.255.255:1", true},
        {"10.0.0.0/8", "11.0.0.0:1", false},
        {"10.0.0.0/8", "9.255.255.255:1", false},
        {"192.168.1.128/25", "192.168.1.128:1", true},
        {"192.168.1.128/25", "192.168.1.127:1", false},
        {"10.0.0.7", "10.0.0.7:9", true},
        {"10.0.0.7", "10.0.0.6:9", false},
        {"0.0.0.0/0", "255.1.2.3:1", true},
        {"0.0.0.0/0", "[2001:db8::1]:1", false},
        {"::/0", "[2001:db8::1]:1", true},
        {"::/0", "[::1]:1", true},
        {"::/0", "10.0.0.1:1", false},
        {"::/80", "10.0.0.1:1", false},
        {"2001:db8::/32", "[2001:db8:ffff::]:1", true},
        {"2001:db8::/32", "[2001:db9::]:1", false},
        {"2001:db8::/33", "[2001:db8:7fff::]:1", true},
        {"2001:db8::/33", "[2001:db8:8000::]:1", false},
        {"::1", "[::1]:1", true},
        {"::1", "[::2]:1", false},
        {"10.0.0.0/8", "[::ffff:10.1.2.3]:1", true},
        {"::ffff:10.0.0.0/104", "10.1.2.3:1", true},
    };
    for (const auto& row : rows)
        EXPECT_EQ(Prefix::parse(row.prefix)->contains(address(row.peer)), row.inside)
            << row.prefix << ' ' << row.peer;
}

/// Against a second way to decide it: bit by bit.
TEST(Prefix, EveryLengthCutsAtItsBit) {
    std::array<std::uint8_t, 16> ones;
    ones.fill(0xff);
    ones[0] = 0x20;
    for (unsigned length = 8; length <= 128; ++length) {
        Prefix prefix;
        prefix.length = static_cast<std::uint8_t>(length);
        for (unsigned bit = 0; bit < length; ++bit)
            if ((ones[bit / 8] & (0x80U >> bit % 8)) != 0)
                prefix.bytes[bit / 8] |= static_cast<std::uint8_t>(0x80U >> bit % 8);
        EXPECT_EQ(Prefix::parse(prefix.to_string()), prefix) << length;
        EXPECT_TRUE(prefix.contains(ones)) << length;
        for (unsigned bit = 0; bit < 128; ++bit) {
            auto other = ones;
            other[bit / 8] ^= static_cast<std::uint8_t>(0x80U >> bit % 8);
            EXPECT_EQ(prefix.contains(other), bit >= length) << length << ' ' << bit;
        }
    }
}

TEST(Prefix, OfAPeerMapsIpv4) {
    const std::array<std::uint8_t, 16> ipv4{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3};
    EXPECT_EQ(address("10.1.2.3:80"), ipv4);
    const std::array<std::uint8_t, 16> ipv6{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0,
                                            0,    0,    0,    0,    0, 0, 0, 1};
    EXPECT_EQ(address("[2001:db8::1]:80"), ipv6);
}

TEST(Prefix, KnowsItsFamily) {
    EXPECT_TRUE(Prefix::parse("0.0.0.0/0")->is_ipv4());
    EXPECT_TRUE(Prefix::parse("10.0.0.1")->is_ipv4());
    EXPECT_FALSE(Prefix::parse("::/0")->is_ipv4());
    EXPECT_FALSE(Prefix::parse("2001:db8::1")->is_ipv4());
    EXPECT_FALSE(Prefix{}.is_ipv4());
}

TEST(PeerList, IsEmptyOnlyWithoutAnyPeer) {
    EXPECT_TRUE(PeerList{}.empty());
    EXPECT_FALSE((PeerList{.prefixes = {*Prefix::parse("::/0")}}.empty()));
    EXPECT_FALSE((PeerList{.unix_peers = true}.empty()));
    EXPECT_FALSE((PeerList{.all = true}.empty()));
}

}  // namespace
}  // namespace penstock
