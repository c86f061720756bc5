#include "balancer/limits/prefix_table.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <netinet/in.h>

#include "balancer/limits/access_rules.hpp"
#include "base/random.hpp"

namespace penstock::balancer {
namespace {

CompactEndpoint peer(const std::string& address) {
    const bool six = address.contains(':');
    return Endpoint::parse(six ? "[" + address + "]:1" : address + ":1").value().ip();
}

CompactEndpoint unix_peer() {
    const sockaddr raw{.sa_family = AF_UNIX, .sa_data = {}};
    return CompactEndpoint::from_sockaddr(&raw, sizeof raw.sa_family);
}

PrefixTable table_of(const std::vector<std::string>& networks) {
    std::vector<PrefixTable::Entry> entries;
    for (const auto& network : networks)
        entries.push_back(
            {Prefix::parse(network).value(), static_cast<PrefixTable::Value>(entries.size())});
    return PrefixTable(std::move(entries));
}

TEST(PrefixTable, the_longest_network_counts) {
    const auto table = table_of({"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3",
                                 "2001:db8::/32", "2001:db8:1::/48", "::/0", "255.255.255.255"});
    const struct {
        const char* address;
        int value;  // -1 = none
    } rows[] = {
        {"9.255.255.255", -1},
        {"10.0.0.0", 0},
        {"10.0.255.255", 0},
        {"10.1.0.0", 1},
        {"10.1.1.255", 1},
        {"10.1.2.0", 2},
        {"10.1.2.2", 2},
        {"10.1.2.3", 3},
        {"10.1.2.4", 2},
        {"10.1.3.0", 1},
        {"10.2.0.0", 0},
        {"10.255.255.255", 0},
        {"11.0.0.0", -1},
        {"0.0.0.0", -1},
        {"255.255.255.254", -1},
        {"255.255.255.255", 7},
        {"::", 6},
        {"2001:db7:ffff::", 6},
        {"2001:db8::1", 4},
        {"2001:db8:1::1", 5},
        {"2001:db8:2::", 4},
        {"2001:db9::", 6},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6},
        {"::ffff:10.1.2.3", 3},  // mapped: an IPv4 peer
    };
    for (const auto& [address, value] : rows)
        EXPECT_EQ(table.find(peer(address))
                      .transform([](auto v) { return static_cast<int>(v); })
                      .value_or(-1),
                  value)
            << address;
    EXPECT_EQ(table.find(unix_peer()), std::nullopt);
}

TEST(PrefixTable, an_empty_one_has_nobody) {
    EXPECT_TRUE(PrefixTable().empty());
    EXPECT_EQ(PrefixTable().find(peer("10.0.0.1")), std::nullopt);
    EXPECT_EQ(PrefixTable(std::vector<PrefixTable::Entry>{}).find(peer("::1")), std::nullopt);
}

TEST(PrefixTable, of_equal_networks_the_last_counts) {
    EXPECT_EQ(table_of({"10.0.0.0/8", "10.0.0.0/8"}).find(peer("10.0.0.1")), 1U);
    EXPECT_EQ(table_of({"0.0.0.0/0"}).find(peer("1.2.3.4")), 0U);
    EXPECT_EQ(table_of({"0.0.0.0/0"}).find(peer("::1")), std::nullopt);
}

// Against the definition: look at each network.
TEST(PrefixTable, agrees_with_a_linear_search) {
    Random random(11);
    for (int round = 0; round < 30; ++round) {
        std::vector<PrefixTable::Entry> entries;
        const auto random_address = [&](bool four) {
            std::array<std::uint8_t, 16> bytes = Prefix::mapped(peer("10.0.0.0"));
            // Few distinct bits, so that networks nest and touch.
            if (!four) bytes = Prefix::mapped(peer("2001:db8::"));
            for (std::size_t i = four ? 13 : 6; i < 16; ++i)
                bytes[i] = static_cast<std::uint8_t>(random.below(3) * 127);
            return bytes;
        };
        for (unsigned i = 0; i < 60; ++i) {
            const bool four = random.below(2) == 0;
            const unsigned length = four ? 96 + random.below(33) : random.below(129);
            entries.push_back({{Prefix::network_of(random_address(four), length),
                                static_cast<std::uint8_t>(length)},
                               i});
        }
        const PrefixTable table(entries);
        for (int i = 0; i < 500; ++i) {
            const bool four = random.below(2) == 0;
            const auto bytes = random_address(four);
            sockaddr_in6 raw{};
            raw.sin6_family = AF_INET6;
            std::copy(bytes.begin(), bytes.end(), raw.sin6_addr.s6_addr);
            const auto address =
                CompactEndpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&raw), sizeof raw);
            std::optional<PrefixTable::Value> expected;
            int longest = -1;
            for (const auto& [prefix, value] : entries) {
                if (prefix.length < longest || !prefix.contains(bytes)) continue;
                longest = prefix.length;
                expected = value;
            }
            ASSERT_EQ(table.find(address), expected) << address.to_string();
        }
    }
}

PeerList list(const std::vector<std::string>& peers) {
    PeerList out;
    for (const auto& text : peers) {
        if (text == "unix")
            out.unix_peers = true;
        else if (text == "all")
            out.all = true;
        else
            out.prefixes.push_back(Prefix::parse(text).value());
    }
    return out;
}

TEST(AccessRules, tables) {
    using Lists = std::vector<std::string>;
    const struct {
        Lists allow, deny;
        Lists in, out;
    } rows[] = {
        {{}, {}, {"10.0.0.1", "::1", "unix"}, {}},
        {{"10.0.0.0/8"}, {}, {"10.0.0.1"}, {"11.0.0.1", "::1", "unix"}},
        {{}, {"10.0.0.0/8"}, {"11.0.0.1", "::1", "unix"}, {"10.0.0.1"}},
        {{"10.0.0.0/8"}, {"10.1.0.0/16"}, {"10.2.0.1"}, {"10.1.0.1", "11.0.0.1"}},
        {{"10.1.2.0/24"}, {"10.1.0.0/16"}, {"10.1.2.3"}, {"10.1.3.3", "12.0.0.1"}},
        {{"10.0.0.0/8"}, {"10.0.0.0/8"}, {}, {"10.0.0.1"}},
        {{"10.0.0.0/8", "10.1.2.3"}, {"10.1.0.0/16"}, {"10.1.2.3", "10.0.0.1"}, {"10.1.2.4"}},
        {{"unix"}, {}, {"unix"}, {"10.0.0.1", "::1"}},
        {{}, {"unix"}, {"10.0.0.1"}, {"unix"}},
        {{"unix"}, {"unix"}, {}, {"unix"}},
        {{"unix"}, {"all"}, {"unix"}, {"10.0.0.1"}},
        {{"all"}, {"unix"}, {"10.0.0.1", "::1"}, {"unix"}},
        {{"all"}, {"all"}, {}, {"10.0.0.1", "::1", "unix"}},
        {{"all"}, {"10.0.0.0/8"}, {"11.0.0.1", "unix"}, {"10.0.0.1"}},
        {{"10.0.0.0/8"}, {"all"}, {"10.0.0.1"}, {"11.0.0.1", "::1", "unix"}},
        {{}, {"::/0"}, {"10.0.0.1", "unix"}, {"::1", "2001:db8::1"}},
    };
    for (const auto& row : rows) {
        const AccessRules rules(list(row.allow), list(row.deny), !row.allow.empty());
        const auto denies = [&](const std::string& who) {
            return rules.denies(who == "unix" ? unix_peer() : peer(who));
        };
        const auto which = testing::Message() << "row " << &row - rows << ": ";
        for (const auto& who : row.in) EXPECT_FALSE(denies(who)) << which << who;
        for (const auto& who : row.out) EXPECT_TRUE(denies(who)) << which << who;
    }
}

TEST(AccessRules, an_empty_list_of_admitted_peers_admits_nobody) {
    const AccessRules rules({}, {}, true);
    EXPECT_TRUE(rules.denies(peer("10.0.0.1")));
    EXPECT_TRUE(rules.denies(unix_peer()));
}

}  // namespace
}  // namespace penstock::balancer
