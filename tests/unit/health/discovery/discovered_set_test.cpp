#include "health/discovery/discovered_set.hpp"

#include <gtest/gtest.h>

#include "health/discovery/address_filter.hpp"
#include "health/discovery/name_source.hpp"

namespace penstock::health {
namespace {

using namespace std::chrono_literals;
constexpr TimePoint noon{12h};

std::vector<Discovered> named(std::initializer_list<const char*> names) {
    std::vector<Discovered> all;
    for (const char* name : names) {
        Discovered one;
        one.name = name;
        all.push_back(std::move(one));
    }
    return all;
}

std::string names_of(const DiscoveredSet& set) {
    std::string text;
    for (const auto& one : set.list()) text += one.name;
    return text;
}

TEST(DiscoveredSet, D9_gone_for_the_delay_means_gone) {
    DiscoveredSet set({.removal_delay = 10s});
    set.on_answer(named({"b", "a"}), noon);
    EXPECT_EQ(names_of(set), "ab");
    EXPECT_EQ(set.next_timer(), no_deadline);
    set.on_answer(named({"b"}), noon + 1s);
    EXPECT_EQ(names_of(set), "ab");
    EXPECT_EQ(set.next_timer(), noon + 11s);
    set.on_answer(named({"b"}), noon + 5s);
    EXPECT_EQ(set.next_timer(), noon + 11s);
    set.on_timer(noon + 10s);
    EXPECT_EQ(names_of(set), "ab");
    set.on_timer(noon + 11s);
    EXPECT_EQ(names_of(set), "b");
}

TEST(DiscoveredSet, of_two_host_names_for_one_address_the_same_one_counts_each_time) {
    DiscoveredSet set({});
    auto found = named({"10.0.0.1:80", "10.0.0.1:80"});
    found[0].host = "b.example";
    found[1].host = "a.example";
    set.on_answer(found, noon);
    ASSERT_EQ(set.list().size(), 1U);
    EXPECT_EQ(set.list()[0].host, "a.example");
    std::swap(found[0], found[1]);
    set.on_answer(found, noon);
    EXPECT_EQ(set.list()[0].host, "a.example");
}

TEST(DiscoveredSet, D9_back_in_time_nothing_happened) {
    DiscoveredSet set({.removal_delay = 10s});
    set.on_answer(named({"a", "b"}), noon);
    set.on_answer(named({"b"}), noon + 1s);
    set.on_answer(named({"a", "b"}), noon + 2s);
    EXPECT_EQ(set.next_timer(), no_deadline);
    set.on_timer(noon + 1h);
    EXPECT_EQ(names_of(set), "ab");
}

TEST(DiscoveredSet, D9_one_that_is_down_as_well_goes_at_once) {
    DiscoveredSet set({.removal_delay = 10s});
    set.on_answer(named({"a", "b", "c"}), noon);
    set.on_check("a", false);
    set.on_answer(named({"c"}), noon + 1s);
    EXPECT_EQ(names_of(set), "bc");
    set.on_check("b", false);
    EXPECT_EQ(names_of(set), "c");
    set.on_check("c", false);
    set.on_check("unknown", false);
    EXPECT_EQ(names_of(set), "c");
}

TEST(DiscoveredSet, D2_an_empty_answer_keeps_or_drains) {
    DiscoveredSet keeps({.removal_delay = 1s});
    keeps.on_answer(named({"a"}), noon);
    keeps.on_answer({}, noon + 1s);
    keeps.on_timer(noon + 1h);
    EXPECT_EQ(names_of(keeps), "a");
    DiscoveredSet drains({.removal_delay = 1s, .on_empty = config::OnEmpty::drain});
    drains.on_answer(named({"a"}), noon);
    drains.on_answer({}, noon + 1s);
    EXPECT_EQ(names_of(drains), "a");
    drains.on_timer(noon + 2s);
    EXPECT_EQ(names_of(drains), "");
}

TEST(DiscoveredSet, D6_above_the_cap_those_stay_that_were_there) {
    DiscoveredSet set({.removal_delay = 0s, .max_backends = 3});
    set.on_answer(named({"m", "n"}), noon);
    set.on_answer(named({"z", "a", "a", "m", "n", "b"}), noon + 1s);
    EXPECT_EQ(names_of(set), "amn");
    EXPECT_EQ(set.left_out(), 2U);
    set.on_answer(named({"z", "a", "m", "n", "b"}), noon + 2s);
    EXPECT_EQ(names_of(set), "amn");
}

TEST(AddressFilter, D6_refuses_what_nobody_can_serve_at) {
    const AddressFilter filter({*Endpoint::parse("127.0.0.1:80"), *Endpoint::parse("0.0.0.0:90")});
    for (const auto* text : {"10.0.0.1:80", "127.0.0.1:81", "[::1]:80", "10.0.0.1:90",
                             "[2001:db8::1]:443", "unix:/run/x"})
        EXPECT_TRUE(filter.allows(*Endpoint::parse(text))) << text;
    for (const auto* text :
         {"0.0.0.0:80", "0.1.2.3:80", "[::]:80", "224.0.0.1:80", "239.255.255.255:1",
          "255.255.255.255:80", "[ff02::1]:80", "10.0.0.1:0", "127.0.0.1:80", "127.0.0.9:90"})
        EXPECT_FALSE(filter.allows(*Endpoint::parse(text))) << text;
}

TEST(Belief, D7_is_clamped) {
    const config::Discovery lookup{.min_ttl = 1s, .max_ttl = 60s};
    EXPECT_EQ(belief(0s, lookup, 0), 1s);
    EXPECT_EQ(belief(2147483647s, lookup, 0), 60s);
    EXPECT_EQ(belief(30s, lookup, 0), 30s);
    EXPECT_GT(belief(30s, lookup, 0.5), 30s);
    EXPECT_LE(belief(30s, lookup, 0.999), 31500ms);
}

}  // namespace
}  // namespace penstock::health
