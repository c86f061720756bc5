#include "balancer/retry_budget.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace penstock::balancer {
namespace {

std::size_t lent(RetryBudget& budget, std::uint64_t sessions) {
    std::vector<RetryBudget::Token> tokens;
    for (int n = 0; n < 1000; ++n)
        if (auto token = budget.try_begin(sessions)) tokens.push_back(std::move(token));
    return tokens.size();
}

TEST(RetryBudget, lends_a_share_of_the_sessions_and_at_least_three) {
    struct Case {
        double share;
        std::uint64_t sessions;
        std::size_t lent;
    };
    for (const Case& c : {Case{0.2, 0, 3}, Case{0.2, 15, 3}, Case{0.2, 19, 3}, Case{0.2, 20, 4},
                          Case{0.2, 1000, 200}, Case{0, 1000, 3}, Case{1, 1000, 1000}}) {
        RetryBudget budget(c.share);
        EXPECT_EQ(lent(budget, c.sessions), c.lent) << c.share << " of " << c.sessions;
        EXPECT_EQ(budget.in_flight(), 0U);
    }
}

TEST(RetryBudget, a_token_is_given_back_once) {
    RetryBudget budget(0);
    auto first = budget.try_begin(1);
    auto moved = std::move(first);
    EXPECT_FALSE(first);
    EXPECT_EQ(budget.in_flight(), 1U);
    moved.release();
    moved.release();
    EXPECT_EQ(budget.in_flight(), 0U);
    moved = budget.try_begin(1);
    moved = budget.try_begin(1);
    EXPECT_EQ(budget.in_flight(), 1U);
}

TEST(RetryBudget, shrinks_with_the_sessions) {
    RetryBudget budget(0.5);
    std::vector<RetryBudget::Token> tokens;
    for (int n = 0; n < 10; ++n) tokens.push_back(budget.try_begin(20));
    EXPECT_TRUE(tokens.back());
    EXPECT_FALSE(budget.try_begin(20));
    EXPECT_FALSE(budget.try_begin(10)) << "ten are lent, five are allowed now";
    tokens.resize(4);
    EXPECT_TRUE(budget.try_begin(10));
}

TEST(RetryBudget, another_share_counts_from_now_on_with_what_is_lent) {
    RetryBudget budget(0.1);
    std::vector<RetryBudget::Token> tokens;
    for (int n = 0; n < 10; ++n) tokens.push_back(budget.try_begin(100));
    EXPECT_TRUE(tokens.back());
    EXPECT_FALSE(budget.try_begin(100));
    budget.set_share(0.2);
    EXPECT_EQ(lent(budget, 100), 10U) << "beside the ten from before";
    budget.set_share(0);
    EXPECT_FALSE(budget.try_begin(100));
    EXPECT_EQ(budget.in_flight(), 10U);
    tokens.resize(2);
    EXPECT_EQ(lent(budget, 100), 1U) << "three are always allowed";
}

}  // namespace
}  // namespace penstock::balancer
