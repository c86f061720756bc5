#include "base/endpoint.hpp"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Endpoint, prints_what_it_parses) {
    for (const char* text :
         {"127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:8080", "[::]:1",
          "[2001:db8::1]:443", "unix:/run/app.sock", "unix:@abstract"}) {
        const auto endpoint = Endpoint::parse(text);
        ASSERT_TRUE(endpoint) << text << ": " << endpoint.error();
        EXPECT_EQ(endpoint->to_string(), text);
        sockaddr_storage raw;
        const auto length = endpoint->to_sockaddr(raw);
        EXPECT_EQ(Endpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&raw), length), *endpoint);
    }
}

TEST(Endpoint, rejects_what_is_no_address_and_says_why) {
    for (const char* text :
         {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:8x",
          "1.2.3:80", "256.0.0.1:80", "::1:80", "[::1]", "[::1:80", "[1.2.3.4]:80",
          "unix:", "unix:@", "host.example:80", ":80"}) {
        const auto endpoint = Endpoint::parse(text);
        ASSERT_FALSE(endpoint) << text;
        EXPECT_FALSE(endpoint.error().empty());
    }
}

TEST(Endpoint, X2_unix_paths_of_107_bytes_fit_and_of_108_do_not) {
    EXPECT_TRUE(Endpoint::parse("unix:/" + std::string(106, 'x')));
    EXPECT_FALSE(Endpoint::parse("unix:/" + std::string(107, 'x')));
}

TEST(Endpoint, a_port_alone_binds_both_families) {
    const auto endpoints = Endpoint::parse_bind(":8080");
    ASSERT_TRUE(endpoints);
    ASSERT_EQ(endpoints->size(), 2U);
    EXPECT_EQ((*endpoints)[0].to_string(), "0.0.0.0:8080");
    EXPECT_EQ((*endpoints)[1].to_string(), "[::]:8080");
    EXPECT_TRUE((*endpoints)[0].is_any_address() && (*endpoints)[1].is_any_address());
}

TEST(Endpoint, tells_host_names_from_broken_addresses) {
    EXPECT_TRUE(Endpoint::looks_like_host_name("db.example:5432"));
    EXPECT_TRUE(Endpoint::looks_like_host_name("localhost:1"));
    EXPECT_FALSE(Endpoint::looks_like_host_name("10.0.0.300:80"));
    EXPECT_FALSE(Endpoint::looks_like_host_name("db.example"));
    EXPECT_FALSE(Endpoint::looks_like_host_name(":80"));
}

TEST(CompactEndpoint, mapped_addresses_are_ipv4) {
    const auto mapped = Endpoint::parse("[::ffff:10.1.2.3]:99");
    ASSERT_TRUE(mapped);
    EXPECT_TRUE(mapped->ip().is_ipv4());
    EXPECT_EQ(mapped->ip().to_string(), "10.1.2.3:99");
}

TEST(CompactEndpoint, a_unix_peer_has_no_name) {
    sockaddr_storage raw{};
    raw.ss_family = AF_UNIX;
    const auto peer = CompactEndpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&raw), 2);
    EXPECT_TRUE(peer.is_unix());
    EXPECT_EQ(peer.to_string(), "unix:");
}

}  // namespace
}  // namespace penstock
