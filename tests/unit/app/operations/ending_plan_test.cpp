#include "app/operations/ending_plan.hpp"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

using upgrade::Order;
using upgrade::OrderAnswer;
using upgrade::OrderReply;
using Quotas = std::vector<std::vector<std::size_t>>;

const Order like{.kind = Order::Kind::end_sessions, .upstream = "web", .by = "uid 0"};

/// One that answers and has sessions of both, and one that keeps silent and has one of a.
std::vector<OrderReply> two_old_processes() {
    OrderReply told{.pid = 7, .version = "1.0.0"};
    told.answer = OrderAnswer{.understood = true, .sessions = {{"a", {5, 4}}, {"b", {2, 2}}}};
    OrderReply silent{.pid = 8, .version = "0.9.0"};
    silent.gauges.backends[{"web", "a"}].active = 1;
    return {told, silent};
}

TEST(EndingPlan, ends_on_the_workers_where_there_is_nobody_else) {
    struct Row {
        std::vector<upgrade::SessionCount> workers;
        std::uint64_t wanted;
        std::vector<std::size_t> quotas;
        std::uint64_t sessions;
    };
    const Row rows[] = {
        {{{10, 10}, {10, 10}}, 10, {5, 5}, 20}, {{{10, 10}, {0, 0}}, 4, {4, 0}, 10},
        {{{10, 2}, {10, 1}}, 20, {2, 1}, 20},  // the others are too young
        {{{3, 3}, {3, 3}}, 0, {0, 0}, 6},       {{{0, 0}, {0, 0}}, 5, {0, 0}, 0},
    };
    for (const auto& row : rows) {
        const auto plan = plan_ending({{"a", row.workers, row.wanted}}, {}, like);
        EXPECT_EQ(plan.quotas, Quotas{row.quotas});
        EXPECT_EQ(plan.ending.sessions, row.sessions);
        const std::uint64_t closing = row.quotas[0] + row.quotas[1];
        EXPECT_EQ(plan.ending.closing, closing);
        EXPECT_EQ(plan.ending.per_backend.contains("a"), closing != 0);
        EXPECT_EQ(plan.ending.old_closing, 0U);
        EXPECT_TRUE(plan.orders.empty());
        EXPECT_TRUE(plan.ending.notes.empty());
    }
}

TEST(EndingPlan, takes_from_old_processes_what_is_their_part) {
    const auto plan = plan_ending(
        {{"a", {{4, 4}, {4, 4}}, 6}, {"b", {{2, 2}, {0, 0}}, 2}, {"c", {{1, 1}, {}}, 0}},
        two_old_processes(), like);
    EXPECT_EQ(plan.quotas, (Quotas{{2, 2}, {1, 0}, {0, 0}}));
    ASSERT_EQ(plan.orders.size(), 1U);
    const Order& order = plan.orders.at(7);
    EXPECT_EQ(order.quotas, (std::map<std::string, std::uint64_t>{{"a", 2}, {"b", 1}}));
    EXPECT_EQ(order.kind, Order::Kind::end_sessions);
    EXPECT_EQ(order.upstream, "web");
    EXPECT_EQ(order.by, "uid 0");
    EXPECT_EQ(plan.ending.sessions, 8U + 6 + 2 + 2 + 1);
    EXPECT_EQ(plan.ending.closing, 8U);
    EXPECT_EQ(plan.ending.per_backend, (std::map<std::string, std::uint64_t>{{"a", 6}, {"b", 2}}));
    EXPECT_EQ(plan.ending.old_sessions, 6U + 2);
    EXPECT_EQ(plan.ending.old_closing, 3U);
}

TEST(EndingPlan, tells_of_those_that_are_out_of_reach) {
    const auto plan =
        plan_ending({{"a", {{1, 1}}, 1}, {"b", {{1, 1}}, 1}}, two_old_processes(), like);
    ASSERT_EQ(plan.ending.notes.size(), 1U);
    EXPECT_TRUE(plan.ending.notes[0].contains("1 session of web/a stays there"))
        << plan.ending.notes[0];
}

TEST(EndingPlan, is_also_of_a_backend_that_has_left_here) {
    const auto plan = plan_ending({{"a", {}, 3}}, two_old_processes(), like);
    EXPECT_EQ(plan.quotas, Quotas{{}});
    EXPECT_EQ(plan.orders.at(7).quotas.at("a"), 3U);
    EXPECT_EQ(plan.ending.sessions, 6U);
    EXPECT_EQ(plan.ending.closing, 3U);
    EXPECT_EQ(plan.ending.old_closing, 3U);
}

}  // namespace
}  // namespace penstock::app
