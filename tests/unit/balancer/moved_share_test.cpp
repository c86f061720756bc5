#include "balancer/moved_share.hpp"

#include <gtest/gtest.h>

#include "tests/unit/balancer/support.hpp"

namespace penstock::balancer {
namespace {

using testing::make_set;
using testing::Member;

std::shared_ptr<const BackendSet> equal_set(std::size_t backends, HashTables tables,
                                            std::uint64_t seed = 1) {
    return make_set(std::vector<Member>(backends), {.hash_tables = tables, .hash_seed = seed});
}

class MovedShare : public ::testing::TestWithParam<HashTables> {};

TEST_P(MovedShare, between_equal_sets_nothing_moves) {
    const auto before = equal_set(10, GetParam());
    const auto after = equal_set(10, GetParam());  // other objects of the same names
    EXPECT_EQ(moved_share(*before, *before), 0);
    EXPECT_EQ(moved_share(*before, *after), 0);
}

// The promise of consistent hashing: who comes takes its share, and little moves beside that.
TEST_P(MovedShare, one_backend_more_or_less_moves_about_its_share) {
    for (const std::size_t n : {2U, 4U, 10U, 50U}) {
        const auto fewer = equal_set(n, GetParam());
        const auto more = equal_set(n + 1, GetParam());
        const double ideal = 1.0 / static_cast<double>(n + 1);
        for (const double moved : {moved_share(*fewer, *more), moved_share(*more, *fewer)}) {
            EXPECT_GT(moved, ideal * 0.7) << n;
            EXPECT_LT(moved, ideal * 1.4 + 0.01) << n;
        }
    }
}

TEST_P(MovedShare, a_backend_that_drains_keeps_its_keys_and_one_without_weight_does_not) {
    const SetOptions options{.hash_tables = GetParam(), .hash_seed = 1};
    const auto before = make_set({{}, {}, {}, {}}, options);
    const auto draining = make_set({{.ready = false}, {}, {}, {}}, options);
    EXPECT_EQ(moved_share(*before, *draining), 0);
    const auto heavier = make_set({{.weight = 3}, {}, {}, {}}, options);
    const double moved = moved_share(*before, *heavier);  // from a quarter to half of all
    EXPECT_GT(moved, 0.18);
    EXPECT_LT(moved, 0.36);
}

TEST_P(MovedShare, only_the_lowest_tier_counts) {
    const SetOptions options{.hash_tables = GetParam(), .hash_seed = 1};
    const auto before = make_set({{}, {}, {.tier = 1}}, options);
    const auto after = make_set({{}, {}, {.tier = 1}, {.tier = 1}}, options);
    EXPECT_EQ(moved_share(*before, *after), 0);
}

INSTANTIATE_TEST_SUITE_P(Tables, MovedShare,
                         ::testing::Values(HashTables::maglev, HashTables::ring),
                         [](const auto& tables) {
                             return tables.param == HashTables::maglev ? "maglev" : "ring";
                         });

// A ring is the same with any seed: what that changes is how clients' keys are hashed.
TEST(MovedShareOfOthers, another_seed_spreads_a_maglev_table_anew) {
    const double moved =
        moved_share(*equal_set(10, HashTables::maglev, 1), *equal_set(10, HashTables::maglev, 2));
    EXPECT_GT(moved, 0.8);
    EXPECT_LT(moved, 1.0);
}

TEST(MovedShareOfOthers, without_tables_there_are_no_keys_and_between_kinds_all_move) {
    const auto none = equal_set(3, HashTables::none);
    const auto maglev = equal_set(3, HashTables::maglev);
    const auto ring = equal_set(3, HashTables::ring);
    EXPECT_EQ(moved_share(*none, *none), 0);
    EXPECT_EQ(moved_share(*none, *maglev), 0);
    EXPECT_EQ(moved_share(*ring, *none), 0);
    EXPECT_EQ(moved_share(*maglev, *ring), 1);
    EXPECT_EQ(moved_share(*ring, *maglev), 1);
}

// As before the first answer of an upstream that finds all of its backends elsewhere.
TEST(MovedShareOfOthers, nobody_moves_from_or_to_a_set_of_nobody) {
    for (const HashTables tables : {HashTables::maglev, HashTables::ring}) {
        const auto empty = equal_set(0, tables);
        const auto some = equal_set(3, tables);
        EXPECT_EQ(moved_share(*empty, *empty), 0);
        EXPECT_EQ(moved_share(*empty, *some), 0);
        EXPECT_EQ(moved_share(*some, *empty), 0);
    }
}

}  // namespace
}  // namespace penstock::balancer
