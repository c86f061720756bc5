#include "balancer/limits/source_table.hpp"

#include <chrono>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "base/random.hpp"

namespace penstock::balancer {
namespace {

using namespace std::chrono_literals;
using Standing = SourceTable::Standing;

constexpr TimePoint start{1h};

SourceTable::Key key(std::uint32_t n) {
    SourceTable::Key bytes{};
    for (unsigned i = 0; i < 4; ++i) bytes[12 + i] = static_cast<std::uint8_t>(n >> (24 - 8 * i));
    return bytes;
}

bool enforce(const Standing& standing) { return !standing.over_connections && !standing.over_rate; }

TEST(SourceTable, counts_the_connections_of_each_source) {
    SourceTable table({2, std::nullopt}, {16, 1}, SipHash(1, 2));
    auto a = table.enter(key(1), start, enforce);
    auto b = table.enter(key(1), start, enforce);
    auto other = table.enter(key(2), start, enforce);
    EXPECT_TRUE(a && b && other);
    EXPECT_FALSE(table.enter(key(1), start, enforce));
    EXPECT_EQ(table.connections(key(1)), 2U);
    a.release();
    EXPECT_EQ(table.connections(key(1)), 1U);
    auto again = table.enter(key(1), start, enforce);
    EXPECT_TRUE(again);
    const auto handle = again.keep();
    EXPECT_FALSE(again);
    EXPECT_EQ(table.connections(key(1)), 2U);
    table.leave(handle);
    EXPECT_EQ(table.connections(key(1)), 1U);
    b = std::move(other);  // gives b's place back
    EXPECT_EQ(table.connections(key(1)), 0U);
    EXPECT_EQ(table.connections(key(2)), 1U);
}

TEST(SourceTable, a_source_spends_its_own_tokens) {
    SourceTable table({0, TokenLine(1, 1s, 2)}, {16, 1}, SipHash(1, 2));
    std::vector<SourcePermit> held;
    const auto enters = [&](std::uint32_t source, TimePoint now) {
        auto permit = table.enter(key(source), now, enforce);
        const bool in = static_cast<bool>(permit);
        held.push_back(std::move(permit));
        return in;
    };
    EXPECT_TRUE(enters(1, start));
    EXPECT_TRUE(enters(1, start));
    EXPECT_FALSE(enters(1, start + 999ms));
    EXPECT_TRUE(enters(2, start + 999ms));
    EXPECT_TRUE(enters(1, start + 1s));
    EXPECT_FALSE(enters(1, start + 1s));
    // The account outlives the connections.
    held.clear();
    EXPECT_FALSE(enters(1, start + 1500ms));
    EXPECT_TRUE(enters(1, start + 2s));
}

TEST(SourceTable, who_is_refused_costs_nothing) {
    SourceTable table({1, TokenLine(1, 1h, 1)}, {16, 1}, SipHash(1, 2));
    for (int i = 0; i < 5; ++i)
        EXPECT_FALSE(table.enter(key(1), start, [](const Standing& standing) {
            EXPECT_TRUE(enforce(standing));
            return false;  // another limit says no
        }));
    EXPECT_EQ(table.connections(key(1)), 0U);
    EXPECT_TRUE(table.enter(key(1), start, enforce));
}

TEST(SourceTable, who_is_let_in_over_the_limit_is_counted) {
    SourceTable table({1, TokenLine(1, 1h, 1)}, {16, 1}, SipHash(1, 2));
    const auto dry_run = [](const Standing&) { return true; };
    std::vector<SourcePermit> held;
    for (int i = 0; i < 3; ++i) held.push_back(table.enter(key(1), start, dry_run));
    EXPECT_EQ(table.connections(key(1)), 3U);
    bool over_both = false;
    EXPECT_FALSE(table.enter(key(1), start, [&](const Standing& standing) {
        over_both = standing.over_connections && standing.over_rate;
        return false;
    }));
    EXPECT_TRUE(over_both);
}

TEST(SourceTable, full_of_sources_at_rest_it_forgets_the_oldest) {
    SourceTable table({1, TokenLine(1, 10s, 1)}, {4, 1}, SipHash(1, 2));
    for (std::uint32_t source = 0; source < 4; ++source)
        EXPECT_TRUE(table.enter(key(source), start + source * 1s, enforce));
    EXPECT_EQ(table.overflows(), 0U);
    // Source 0 has its token again: forgetting it loses nothing.
    EXPECT_TRUE(table.enter(key(4), start + 10s, enforce));
    EXPECT_EQ(table.overflows(), 0U);
    // Source 1 has not, yet it has to go.
    EXPECT_TRUE(table.enter(key(5), start + 10s, enforce));
    EXPECT_EQ(table.overflows(), 1U);
    EXPECT_TRUE(table.enter(key(1), start + 10s, enforce)) << "forgotten";  // source 2 goes
    EXPECT_FALSE(table.enter(key(3), start + 10s, enforce)) << "still known";
}

TEST(SourceTable, full_of_sources_with_connections_it_lets_new_ones_in_without_an_account) {
    SourceTable table({1, std::nullopt}, {2, 1}, SipHash(1, 2));
    auto a = table.enter(key(1), start, enforce);
    auto b = table.enter(key(2), start, enforce);
    bool asked = false;
    auto c = table.enter(key(3), start, [&](const Standing& standing) {
        asked = true;
        return enforce(standing);
    });
    EXPECT_TRUE(asked);
    EXPECT_FALSE(c);
    EXPECT_EQ(table.overflows(), 1U);
    EXPECT_EQ(table.connections(key(1)), 1U);
    EXPECT_FALSE(table.enter(key(1), start, enforce)) << "those with an account keep it";
    b.release();
    EXPECT_TRUE(table.enter(key(3), start, enforce));
    EXPECT_EQ(table.overflows(), 1U);
}

// Against plain maps, with evictions, over several shards. Sources are few enough that none of them
// is forgotten.
TEST(SourceTable, agrees_with_a_model) {
    SourceTable table({3, TokenLine(5, 1s, 4)}, {4096, 8}, SipHash(3, 4));
    const TokenLine line(5, 1s, 4);
    struct Account {
        std::uint32_t active = 0;
        std::uint64_t spent = 0;
    };
    std::map<std::uint32_t, Account> model;
    std::vector<std::pair<std::uint32_t, SourcePermit>> held;
    Random random(5);
    TimePoint now = start;
    for (int i = 0; i < 20000; ++i) {
        now += Duration(random.below(20'000'000));
        const std::uint32_t source = random.below(40);
        auto& account = model[source];
        if (!held.empty() && random.below(2) == 0) {
            const auto which = random.below(static_cast<std::uint32_t>(held.size()));
            --model[held[which].first].active;
            std::swap(held[which], held.back());
            held.pop_back();
            continue;
        }
        const auto after = line.take(account.spent, now);
        const bool expected = account.active < 3 && after.has_value();
        auto permit = table.enter(key(source), now, enforce);
        ASSERT_EQ(static_cast<bool>(permit), expected) << i;
        if (!expected) continue;
        ++account.active;
        account.spent = *after;
        held.emplace_back(source, std::move(permit));
    }
    EXPECT_EQ(table.overflows(), 0U);
    for (const auto& [source, account] : model)
        EXPECT_EQ(table.connections(key(source)), account.active);
}

// Sources come and go in a table that is far too small: its lists stay whole.
TEST(SourceTable, keeps_its_books_through_evictions) {
    SourceTable table({2, std::nullopt}, {32, 2}, SipHash(5, 6));
    std::vector<std::pair<std::uint32_t, SourcePermit>> held;
    std::map<std::uint32_t, std::uint32_t> active;
    Random random(9);
    for (int i = 0; i < 50000; ++i) {
        const std::uint32_t source = random.below(500);
        if (held.size() > random.below(20)) {
            const auto which = random.below(static_cast<std::uint32_t>(held.size()));
            --active[held[which].first];
            std::swap(held[which], held.back());
            held.pop_back();
        } else if (auto permit = table.enter(key(source), start, enforce)) {
            ASSERT_LE(++active[source], 2U);
            held.emplace_back(source, std::move(permit));
        }
        ASSERT_EQ(table.connections(key(source)), active[source]);
    }
}

TEST(SourceTable, another_limit_counts_from_now_on_for_those_who_are_there) {
    SourceTable table({3, std::nullopt}, {16, 1}, SipHash(1, 2));
    std::vector<SourcePermit> held;
    for (int i = 0; i < 3; ++i) held.push_back(table.enter(key(1), start, enforce));
    table.set_limits({2, std::nullopt});
    EXPECT_EQ(table.connections(key(1)), 3U);
    held.pop_back();
    EXPECT_FALSE(table.enter(key(1), start, enforce)) << "two are there";
    EXPECT_TRUE(table.enter(key(2), start, enforce));
    held.pop_back();
    EXPECT_TRUE(table.enter(key(1), start, enforce));
    table.set_limits({0, std::nullopt});
    for (int i = 0; i < 5; ++i) held.push_back(table.enter(key(1), start, enforce));
    EXPECT_EQ(table.connections(key(1)), 6U);
    table.set_limits({6, std::nullopt});
    EXPECT_FALSE(table.enter(key(1), start, enforce)) << "nobody was lost count of";
}

TEST(SourceTable, spent_tokens_stay_spent_unless_the_rate_is_another_one) {
    const TokenLine one_an_hour(1, 1h, 1);
    SourceTable table({5, one_an_hour}, {16, 1}, SipHash(1, 2));
    EXPECT_TRUE(table.enter(key(1), start, enforce));
    EXPECT_FALSE(table.enter(key(1), start, enforce));
    table.set_limits({7, one_an_hour});
    EXPECT_FALSE(table.enter(key(1), start, enforce)) << "the rate is the same";
    table.set_limits({7, TokenLine(2, 1h, 2)});
    EXPECT_TRUE(table.enter(key(1), start, enforce));
    EXPECT_TRUE(table.enter(key(1), start, enforce));
    EXPECT_FALSE(table.enter(key(1), start, enforce)) << "the new burst is used up";
    table.set_limits({7, std::nullopt});
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(table.enter(key(1), start, enforce));
}

}  // namespace
}  // namespace penstock::balancer
