#include "balancer/ring_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "hash_tables.hpp"

namespace penstock::balancer {
namespace {

using testing::Names;

std::vector<std::string> keys(const Names& names, const RingTable& ring) {
    return names_of_keys(names, 100'000, [&](std::uint64_t key) {
        return ring.owner(ring.find(static_cast<std::uint32_t>(key)));
    });
}

// Ketama as its definition says, with an ordered map and nothing clever.
std::map<std::uint32_t, std::string> reference_ring(const Names& names) {
    std::map<std::uint32_t, std::string> ring;
    for (const auto& [name, weight] : names.entries()) {
        const auto colon = name.rfind(':');
        std::string text(name.substr(0, colon));
        text.push_back('\0');
        text.append(name.substr(colon + 1));
        std::string previous(4, '\0');
        for (std::uint32_t n = 0; n < 160 * weight; ++n) {
            const auto hash = crc32(text + previous);
            const auto [found, fresh] = ring.try_emplace(hash, name);
            if (!fresh && name < found->second) found->second = name;
            for (unsigned byte = 0; byte < 4; ++byte)
                previous[byte] = static_cast<char>(hash >> (8 * byte));
        }
    }
    return ring;
}

TEST(RingTable, is_ketama_point_for_point) {
    for (const std::uint32_t size : {1U, 2U, 7U, 1000U}) {
        auto names = Names::addresses(size);
        for (std::uint32_t i = 0; i < size; ++i) names.members()[i].second = 1 + i % 3;
        const auto reference = reference_ring(names);
        const RingTable ring(names.entries());
        ASSERT_EQ(ring.size(), reference.size());
        std::size_t place = 0;
        for (const auto& [hash, name] : reference) {
            ASSERT_EQ(names[ring.owner(place)], name);
            ASSERT_EQ(ring.find(hash), place);
            ASSERT_EQ(ring.find(hash + 1), ring.next(place));
            ++place;
        }
        EXPECT_EQ(ring.find(0), 0U);
        EXPECT_EQ(ring.next(ring.size() - 1), 0U);
        EXPECT_EQ(ring.find(reference.rbegin()->first + 1), 0U);
    }
}

// What nginx takes for host and port decides the points.
TEST(RingTable, splits_names_as_nginx_does) {
    const struct {
        const char* name;
        std::string hashed;
    } cases[] = {{"10.0.0.1:80", std::string("10.0.0.1\0"
                                             "80",
                                             11)},
                 {"[::1]:80", std::string("[::1]\0"
                                          "80",
                                          8)},
                 {"web", std::string("web\0", 4)},
                 {"web:", std::string("web\0", 4)},
                 {"web:a1", std::string("web:a1\0", 7)},
                 {"1234", std::string("1234\0", 5)},
                 {"unix:/run/a:80", std::string("/run/a:80\0", 10)}};
    for (const auto& [name, hashed] : cases) {
        const HashEntry entry{name, 1};
        const RingTable ring({&entry, 1});
        const auto first = crc32(hashed + std::string(4, '\0'));
        const auto place = ring.find(first);
        // The point is there: one further, and it is behind us.
        EXPECT_EQ(ring.find(first + 1), ring.next(place)) << name;
    }
}

TEST(RingTable, shares_are_in_proportion_to_weight) {
    const std::vector<std::uint32_t> weights{1, 2, 3, 10, 0};
    auto names = Names::addresses(5);
    for (std::size_t i = 0; i < weights.size(); ++i) names.members()[i].second = weights[i];
    std::map<std::string, double> counts;
    for (const auto& name : keys(names, RingTable(names.entries()))) ++counts[name];
    // 160 points leave a deviation of about 8 % at weight 1.
    for (std::size_t i = 0; i < weights.size(); ++i)
        EXPECT_NEAR(counts[names[i]], 100'000.0 * weights[i] / 16, 100'000.0 * weights[i] / 16 / 4)
            << weights[i];
}

TEST(RingTable, order_does_not_matter) {
    auto names = Names::addresses(1000);
    const RingTable ring(names.entries());
    auto shuffled = names;
    std::ranges::reverse(shuffled.members());
    const RingTable other(shuffled.entries());
    EXPECT_EQ(ring.checksum(), other.checksum());
    EXPECT_EQ(keys(names, ring), keys(shuffled, other));
    EXPECT_NE(RingTable(Names::addresses(999).entries()).checksum(), ring.checksum());
}

TEST(RingTable, points_are_bounded) {
    // The last sum of weights whose ring is that of nginx, and the first that is not.
    auto names = Names::addresses(2);
    names.members()[0].second = 6000;
    names.members()[1].second = 553;
    EXPECT_GT(RingTable(names.entries()).size(), 6553U * 160 - 1000);
    names.members()[1].second = 554;  // by the divisor, which is 2
    const auto halved = RingTable(names.entries());
    EXPECT_NEAR(static_cast<double>(halved.size()), 3277 * 160, 300);
    names.members()[0].second = 65535;
    names.members()[1].second = 1;
    const RingTable ring(names.entries());
    EXPECT_LE(ring.size(), RingTable::max_points);
    EXPECT_GT(ring.size(), RingTable::max_points - 1000);
    std::size_t light = 0;
    for (std::size_t place = 0; place < ring.size(); ++place) light += ring.owner(place);
    EXPECT_EQ(light, 16U);
}

TEST(RingTable, one_more_of_n_moves_about_one_key_in_n) {
    for (const std::uint32_t size : {5U, 10U, 100U}) {
        const auto before = Names::addresses(size);
        const auto after = Names::addresses(size + 1);
        const auto moves = testing::compare(keys(before, RingTable(before.entries())),
                                            keys(after, RingTable(after.entries())), after[size]);
        const double share = 1.0 / (size + 1);
        const auto moved = static_cast<double>(moves.moved) / 100'000;
        EXPECT_EQ(moves.elsewhere, 0U);  // nobody but the new one gets anything
        EXPECT_GT(moved, 0.7 * share);
        EXPECT_LT(moved, 1.3 * share);
    }
}

TEST(RingTable, nobody_with_weight_gives_an_empty_ring) {
    EXPECT_EQ(RingTable({}).size(), 0U);
    const HashEntry silent{"a", 0};
    EXPECT_EQ(RingTable({&silent, 1}).size(), 0U);
}

}  // namespace
}  // namespace penstock::balancer
