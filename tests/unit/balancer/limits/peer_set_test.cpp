#include "balancer/limits/peer_set.hpp"

#include <string>

#include <gtest/gtest.h>

namespace penstock::balancer {
namespace {

CompactEndpoint peer(const std::string& text) { return Endpoint::parse(text).value().ip(); }

CompactEndpoint unix_peer() {
    const sockaddr raw{.sa_family = AF_UNIX, .sa_data = {}};
    return CompactEndpoint::from_sockaddr(&raw, sizeof raw.sa_family);
}

PeerList networks(std::initializer_list<const char*> list) {
    PeerList out;
    for (const char* text : list) out.prefixes.push_back(Prefix::parse(text).value());
    return out;
}

TEST(PeerSet, of_nothing_contains_nobody) {
    for (const PeerSet& set : {PeerSet(), PeerSet(PeerList{})}) {
        EXPECT_TRUE(set.empty());
        EXPECT_FALSE(set.contains(peer("10.0.0.1:1")));
        EXPECT_FALSE(set.contains(peer("[::1]:1")));
        EXPECT_FALSE(set.contains(unix_peer()));
    }
}

TEST(PeerSet, of_networks_contains_their_addresses_whatever_their_size) {
    const PeerSet set(networks({"10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32"}));
    EXPECT_FALSE(set.empty());
    for (const char* inside : {"10.0.0.1:1", "10.1.2.3:1", "10.255.255.255:9", "192.0.2.7:80",
                               "[2001:db8:ffff::1]:1", "[::ffff:10.0.0.1]:1"})
        EXPECT_TRUE(set.contains(peer(inside))) << inside;
    for (const char* outside : {"11.0.0.1:1", "192.0.2.8:1", "[2001:db9::1]:1", "[::1]:1"})
        EXPECT_FALSE(set.contains(peer(outside))) << outside;
    EXPECT_FALSE(set.contains(unix_peer()));
}

TEST(PeerSet, of_unix_peers_contains_no_address) {
    PeerList list;
    list.unix_peers = true;
    const PeerSet set(list);
    EXPECT_FALSE(set.empty());
    EXPECT_TRUE(set.contains(unix_peer()));
    EXPECT_FALSE(set.contains(peer("10.0.0.1:1")));
}

TEST(PeerSet, of_all_contains_everybody) {
    PeerList list;
    list.all = true;
    const PeerSet set(list);
    EXPECT_FALSE(set.empty());
    EXPECT_TRUE(set.contains(unix_peer()));
    EXPECT_TRUE(set.contains(peer("10.0.0.1:1")));
    EXPECT_TRUE(set.contains(peer("[::1]:1")));
}

}  // namespace
}  // namespace penstock::balancer
