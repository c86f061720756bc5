#include "balancer/hash_key.hpp"

#include <gtest/gtest.h>

#include <sys/un.h>

#include <string>

#include "balancer/hash.hpp"

namespace penstock::balancer {
namespace {

CompactEndpoint client(const std::string& text) { return Endpoint::parse(text).value().ip(); }

TEST(HashKey, crc32_is_the_usual_one) {
    EXPECT_EQ(crc32("123456789"), 0xcbf43926U);  // the check value of its definition
    EXPECT_EQ(crc32(""), 0U);
}

TEST(HashKey, xxh3_is_that_of_its_reference) {
    EXPECT_EQ(hash64("", 0), 0x2d06800538d394c2U);
    EXPECT_EQ(hash128("", 0).low, 0x6001c324468d497fU);
    EXPECT_EQ(hash128("", 0).high, 0x99aa06d3014798d8U);
}

struct Case {
    const char* client;
    const char* source_ip;
    const char* source_ip_port;
};

const Case cases[] = {
    {"10.0.0.1:80", "10.0.0.1", "10.0.0.1:80"},
    {"255.255.255.255:65535", "255.255.255.255", "255.255.255.255:65535"},
    {"[::1]:1", "::1", "::1:1"},
    {"[2001:db8::a:0:0:1]:443", "2001:db8::a:0:0:1", "2001:db8::a:0:0:1:443"},
    {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:65535"},
    {"[fe80::1%lo]:7", "fe80::1", "fe80::1:7"},  // the number of an interface is not the client's
    {"[::ffff:10.0.0.1]:80", "10.0.0.1", "10.0.0.1:80"},
};

TEST(HashKey, hashes_the_text_that_nginx_has) {
    for (const auto& [address, source_ip, source_ip_port] : cases) {
        SCOPED_TRACE(address);
        for (const auto& [key, text] : {std::pair(HashKey::source_ip, source_ip),
                                        std::pair(HashKey::source_ip_port, source_ip_port)}) {
            const auto peer = client(address);
            EXPECT_EQ(KeyHasher(PolicyKind::ring_hash, key, 0).hash(peer), crc32(text));
            EXPECT_EQ(KeyHasher(PolicyKind::ring_hash, key, 5).hash(peer), hash64(text, 5) >> 32);
            EXPECT_EQ(KeyHasher(PolicyKind::maglev, key, 0).hash(peer), hash64(text, 0));
            EXPECT_EQ(KeyHasher(PolicyKind::maglev, key, 5).hash(peer), hash64(text, 5));
        }
    }
}

TEST(HashKey, a_unix_peer_has_none) {
    sockaddr_un unnamed{};
    unnamed.sun_family = AF_UNIX;
    const auto peer = CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&unnamed),
                                                     sizeof(sa_family_t));
    for (const auto policy : {PolicyKind::maglev, PolicyKind::ring_hash}) {
        EXPECT_EQ(KeyHasher(policy, HashKey::source_ip, 1).hash(peer), std::nullopt);
        EXPECT_EQ(KeyHasher(policy, HashKey::source_ip_port, 1).hash(peer), std::nullopt);
        EXPECT_EQ(KeyHasher(policy, HashKey::source_ip, 1).hash({}), std::nullopt);
    }
}

TEST(HashKey, other_policies_ask_for_none) {
    for (const auto policy :
         {PolicyKind::round_robin, PolicyKind::least_connections, PolicyKind::p2c,
          PolicyKind::random, PolicyKind::least_latency, PolicyKind::first})
        EXPECT_EQ(KeyHasher(policy, HashKey::source_ip, 1).hash(client("10.0.0.1:80")),
                  std::nullopt);
}

// As nginx hashes $ssl_preread_server_name.
TEST(HashKey, the_name_that_a_client_asked_for_is_a_key_as_well) {
    const auto here = client("10.0.0.1:80");
    const auto there = client("[::1]:81");
    for (const auto& peer : {here, there}) {
        EXPECT_EQ(KeyHasher(PolicyKind::ring_hash, HashKey::sni, 0).hash(peer, "a.test"),
                  crc32("a.test"));
        EXPECT_EQ(KeyHasher(PolicyKind::ring_hash, HashKey::sni, 5).hash(peer, "a.test"),
                  hash64("a.test", 5) >> 32);
        EXPECT_EQ(KeyHasher(PolicyKind::maglev, HashKey::sni, 5).hash(peer, "a.test"),
                  hash64("a.test", 5));
        EXPECT_EQ(KeyHasher(PolicyKind::maglev, HashKey::sni, 5).hash(peer, ""), std::nullopt)
            << "no name, no key";
    }
    EXPECT_EQ(KeyHasher(PolicyKind::maglev, HashKey::source_ip, 5).hash(here, "a.test"),
              hash64("10.0.0.1", 5))
        << "the name is none of the others";
    EXPECT_EQ(KeyHasher(PolicyKind::round_robin, HashKey::sni, 5).hash(here, "a.test"),
              std::nullopt);
}

}  // namespace
}  // namespace penstock::balancer
