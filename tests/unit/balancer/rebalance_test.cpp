#include "balancer/rebalance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace penstock::balancer {
namespace {

using Backends = std::vector<RebalanceBackend>;
using Numbers = std::vector<std::uint32_t>;

constexpr auto none_free = std::numeric_limits<std::uint32_t>::max();

std::uint64_t sum_of(std::span<const std::uint32_t> numbers) {
    return std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{0});
}

bool takes_part(const RebalanceBackend& backend) {
    return backend.available && backend.weight != 0;
}

/// The fair share by another road: long doubles hold the small numbers of these tests exactly.
std::uint64_t fair_share(const Backends& backends, std::size_t i) {
    long double sessions = 0;
    long double weights = 0;
    for (const auto& backend : backends)
        if (takes_part(backend)) {
            sessions += backend.sessions;
            weights += backend.weight;
        }
    return static_cast<std::uint64_t>(std::ceil(sessions * backends[i].weight / weights));
}

TEST(Rebalance, table) {
    struct Row {
        std::string what;
        Backends backends;
        double max_share;
        Numbers expected;
    };
    const Row rows[] = {
        {"nobody there", {}, 1, {}},
        {"one alone has its share", {{100, 1, true}}, 1, {0}},
        {"even", {{50, 1, true}, {50, 1, true}}, 1, {0, 0}},
        {"a new one", {{50, 1, true}, {50, 1, true}, {0, 1, true}}, 1, {16, 16, 0}},
        {"a new one of twice the weight",
         {{40, 1, true}, {40, 1, true}, {0, 2, true}},
         1,
         {20, 20, 0}},
        {"by weight, not by number", {{75, 3, true}, {25, 1, true}}, 1, {0, 0}},
        {"less than one session is nothing", {{1, 1, true}, {0, 1, true}}, 1, {0, 0}},
        {"rounded up for both", {{2, 1, true}, {1, 1, true}}, 1, {0, 0}},
        {"no sessions", {{0, 1, true}, {0, 5, true}}, 1, {0, 0}},
        {"slow start: a small weight", {{100, 256, true}, {0, 26, true}}, 1, {9, 0}},
        {"one that is down keeps its sessions",
         {{90, 1, false}, {10, 1, true}, {0, 1, true}},
         1,
         {0, 5, 0}},
        {"nobody is available", {{90, 1, false}, {0, 1, false}}, 1, {0, 0}},
        {"weight 0 keeps its sessions", {{90, 0, true}, {10, 1, true}}, 1, {0, 0}},
        {"only weight 0", {{90, 0, true}}, 1, {0}},
        {"the share that may go", {{100, 1, true}, {0, 1, true}}, 0.2, {20, 0}},
        {"sessions of those that are down count in it",
         {{50, 1, true}, {0, 1, true}, {50, 1, false}},
         0.2,
         {20, 0, 0}},
        {"shared out in proportion",
         {{80, 1, true}, {60, 1, true}, {10, 2, true}},
         0.2,
         {20, 10, 0}},
        {"the largest remainder gets the odd one",
         {{10, 1, true}, {13, 1, true}, {0, 2, true}},
         3 / 23.0,
         {1, 2, 0}},
        {"of equal remainders the first",
         {{10, 1, true}, {10, 1, true}, {0, 2, true}},
         0.05,
         {1, 0, 0}},
        {"less than one session may go", {{4, 1, true}, {0, 1, true}}, 0.2, {0, 0}},
        {"0.29 of 100", {{100, 1, true}, {0, 1, true}}, 0.29, {29, 0}},
        {"share 0", {{100, 1, true}, {0, 1, true}}, 0, {0, 0}},
        {"a share below 0", {{100, 1, true}, {0, 1, true}}, -1, {0, 0}},
        {"a share above 1", {{100, 1, true}, {0, 1, true}}, 7, {50, 0}},
        {"a share that is no number", {{100, 1, true}, {0, 1, true}}, std::nan(""), {0, 0}},
        {"the largest numbers",
         {{none_free, none_free, true}, {none_free, 1, true}, {none_free, none_free, true}},
         1,
         {0, none_free - 2, 0}},
    };
    for (const auto& row : rows)
        EXPECT_EQ(plan_rebalance(row.backends, row.max_share), row.expected) << row.what;
}

class RebalanceProperties : public testing::Test {
protected:
    std::uint32_t number(std::uint32_t least, std::uint32_t most) {
        return std::uniform_int_distribution<std::uint32_t>(least, most)(engine_);
    }

    Backends backends() {
        Backends all(number(0, 9));
        const auto busiest = number(0, 3) == 0 ? number(0, 5) : number(0, 100'000);
        for (auto& backend : all)
            backend = {number(0, busiest), number(0, 4) * number(1, 300), number(0, 4) != 0};
        return all;
    }

    double share() {
        static constexpr double common[] = {0, 0.2, 0.5, 1};
        return number(0, 1) == 0 ? common[number(0, 3)] : number(0, 1'000'000) / 1e6;
    }

private:
    std::mt19937 engine_{7};
};

constexpr int rounds = 20'000;

TEST_F(RebalanceProperties, nobody_falls_below_the_fair_share) {
    for (int round = 0; round < rounds; ++round) {
        const auto all = backends();
        const auto closing = plan_rebalance(all, share());
        ASSERT_EQ(closing.size(), all.size());
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (closing[i] == 0) continue;
            ASSERT_TRUE(takes_part(all[i])) << "round " << round;
            ASSERT_GE(all[i].sessions - std::min(closing[i], all[i].sessions), fair_share(all, i))
                << "round " << round;
        }
    }
}

TEST_F(RebalanceProperties, the_sum_is_the_whole_excess_or_the_share_that_may_go) {
    for (int round = 0; round < rounds; ++round) {
        const auto all = backends();
        const auto most = share();
        std::uint64_t sessions = 0;
        std::uint64_t excess = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            sessions += all[i].sessions;
            if (takes_part(all[i]) && all[i].sessions > fair_share(all, i))
                excess += all[i].sessions - fair_share(all, i);
        }
        const auto bound = static_cast<std::uint64_t>(most * static_cast<double>(sessions) + 1e-6);
        ASSERT_EQ(sum_of(plan_rebalance(all, most)), std::min(excess, bound)) << "round " << round;
    }
}

TEST_F(RebalanceProperties, scaling_moves_each_by_less_than_one_session) {
    for (int round = 0; round < rounds; ++round) {
        const auto all = backends();
        const auto whole = plan_rebalance(all, 1);
        const auto part = plan_rebalance(all, share());
        const auto wanted = static_cast<double>(sum_of(whole));
        if (wanted == 0) continue;
        const auto scale = static_cast<double>(sum_of(part)) / wanted;
        for (std::size_t i = 0; i < all.size(); ++i)
            ASSERT_LT(std::fabs(part[i] - whole[i] * scale), 1) << "round " << round;
    }
}

/// What was closed comes back to those below their share; then there is nothing left to do.
TEST_F(RebalanceProperties, once_is_enough) {
    for (int round = 0; round < rounds; ++round) {
        auto all = backends();
        const auto closing = plan_rebalance(all, 1);
        auto left = sum_of(closing);
        std::vector<std::uint64_t> fair(all.size());
        for (std::size_t i = 0; i < all.size(); ++i)
            if (takes_part(all[i])) fair[i] = fair_share(all, i);
        for (std::size_t i = 0; i < all.size(); ++i) {
            all[i].sessions -= closing[i];
            if (!takes_part(all[i]) || all[i].sessions >= fair[i]) continue;
            const auto back = std::min(left, fair[i] - all[i].sessions);
            all[i].sessions += static_cast<std::uint32_t>(back);
            left -= back;
        }
        ASSERT_EQ(left, 0U) << "round " << round;
        ASSERT_EQ(sum_of(plan_rebalance(all, 1)), 0U) << "round " << round;
    }
}

}  // namespace
}  // namespace penstock::balancer
