#include "balancer/maglev_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "hash_tables.hpp"
#include "support.hpp"

namespace penstock::balancer {
namespace {

using testing::Names;

std::vector<std::uint64_t> count_slots(const MaglevTable& table, std::size_t entries) {
    std::vector<std::uint64_t> counts(entries);
    for (const auto owner : table.owners()) ++counts[owner];
    return counts;
}

std::vector<std::string> keys(const Names& names, const MaglevTable& table) {
    return names_of_keys(names, 100'000, [&](std::uint64_t key) { return table.at(key); });
}

TEST(MaglevTable, equal_weights_have_equal_slots) {
    for (const std::uint32_t size : {1U, 2U, 10U, 100U, 1000U}) {
        const auto names = Names::addresses(size);
        const auto counts = count_slots(MaglevTable(names.entries(), 0), size);
        const auto [least, most] = std::ranges::minmax(counts);
        EXPECT_LE(most - least, 1U) << size;
        EXPECT_EQ(std::reduce(counts.begin(), counts.end()), MaglevTable::slots);
    }
    const auto names = Names::addresses(10);
    const auto counts = count_slots(MaglevTable(names.entries(), 0), 10);
    EXPECT_LT(static_cast<double>(std::ranges::max(counts)),
              1.05 * static_cast<double>(std::ranges::min(counts)));
}

TEST(MaglevTable, slots_are_in_proportion_to_weight) {
    const std::vector<std::uint32_t> weights{1, 2, 3, 10, 100, 1000, 7, 7, 65535, 0};
    auto names = Names::addresses(static_cast<std::uint32_t>(weights.size()));
    double total = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        names.members()[i].second = weights[i];
        total += weights[i];
    }
    const auto counts = count_slots(MaglevTable(names.entries(), 0), weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i)
        EXPECT_NEAR(static_cast<double>(counts[i]), MaglevTable::slots * weights[i] / total, 2)
            << weights[i];
    EXPECT_EQ(counts.back(), 0U);
}

// Their share is below one slot each; together they have what is theirs.
TEST(MaglevTable, small_shares_are_right_together) {
    auto names = Names::addresses(2001);
    names.members()[0].second = 65535;
    const auto counts = count_slots(MaglevTable(names.entries(), 0), names.size());
    const double expected = MaglevTable::slots * 65535.0 / (65535 + 2000);
    EXPECT_NEAR(static_cast<double>(counts[0]), expected, 100);
    EXPECT_LE(*std::max_element(counts.begin() + 1, counts.end()), 2U);
}

TEST(MaglevTable, order_does_not_matter) {
    auto names = Names::addresses(50);
    for (std::uint32_t i = 0; i < 50; ++i) names.members()[i].second = 1 + i % 3;
    const MaglevTable table(names.entries(), 7);
    auto shuffled = names;
    std::ranges::reverse(shuffled.members());
    std::ranges::rotate(shuffled.members(), shuffled.members().begin() + 17);
    const MaglevTable other(shuffled.entries(), 7);
    EXPECT_EQ(table.checksum(), other.checksum());
    EXPECT_EQ(keys(names, table), keys(shuffled, other));
}

TEST(MaglevTable, checksum_tells_what_decides_differently) {
    const auto names = Names::addresses(10);
    const auto checksum = MaglevTable(names.entries(), 0).checksum();
    EXPECT_NE(MaglevTable(names.entries(), 1).checksum(), checksum);
    EXPECT_NE(MaglevTable(Names::addresses(11).entries(), 0).checksum(), checksum);
    auto weighted = names;
    weighted.members()[3].second = 2;
    EXPECT_NE(MaglevTable(weighted.entries(), 0).checksum(), checksum);
    auto renamed = names;
    renamed.members()[3].first = "10.9.9.9:80";
    EXPECT_NE(MaglevTable(renamed.entries(), 0).checksum(), checksum);
    auto with_silent = names;
    with_silent.members().emplace_back("10.9.9.9:80", 0);
    EXPECT_EQ(MaglevTable(with_silent.entries(), 0).checksum(), checksum);
}

// Instances of different versions must hash alike: these may change only with a note to users.
TEST(MaglevTable, golden_checksums) {
    EXPECT_EQ(MaglevTable(Names::addresses(3).entries(), 0).checksum(), 0xcf3cb74bf28e3d19U);
    EXPECT_EQ(MaglevTable(Names::addresses(3).entries(), 42).checksum(), 0x2e06be9b7e370db2U);
    auto weighted = Names::addresses(1000);
    for (std::uint32_t i = 0; i < 1000; ++i) weighted.members()[i].second = 1 + i % 5;
    EXPECT_EQ(MaglevTable(weighted.entries(), 0).checksum(), 0xa261591736df2ccU);
}

TEST(MaglevTable, one_more_of_n_moves_about_one_key_in_n) {
    for (const std::uint32_t size : {5U, 10U, 100U}) {
        const auto before = Names::addresses(size);
        const auto after = Names::addresses(size + 1);
        const auto moves =
            testing::compare(keys(before, MaglevTable(before.entries(), 0)),
                             keys(after, MaglevTable(after.entries(), 0)), after[size]);
        const double share = 1.0 / (size + 1);
        const auto moved = static_cast<double>(moves.moved) / 100'000;
        EXPECT_GT(moved, 0.9 * share);
        EXPECT_LT(moved, 2.2 * share);
        EXPECT_LT(moves.elsewhere, 1000U);  // a hundredth of the keys, whatever the size
    }
}

TEST(MaglevTable, nobody_with_weight_gives_an_empty_table) {
    EXPECT_TRUE(MaglevTable({}, 0).owners().empty());
    const HashEntry silent{"a", 0};
    EXPECT_TRUE(MaglevTable({&silent, 1}, 0).owners().empty());
}

}  // namespace
}  // namespace penstock::balancer
