#include "app/operations/old_orders.hpp"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

using upgrade::Order;
using upgrade::OrderAnswer;
using upgrade::OrderReply;

std::vector<OrderReply> two_old_processes() {
    OrderReply told{.pid = 7, .version = "1.0.0"};
    told.gauges.backends[{"web", "a"}].active = 99;  // what it said before does not count
    told.answer = OrderAnswer{.understood = true, .sessions = {{"a", {5, 2}}, {"b", {}}}};
    OrderReply silent{.pid = 8, .version = "0.9.0"};
    silent.gauges.backends[{"web", "a"}].active = 4;
    silent.gauges.backends[{"web", "b"}].active = 1;
    return {told, silent};
}

TEST(Places, are_the_workers_and_the_old_processes_that_answer) {
    const auto places = places_of({{3, 1}, {4, 4}}, two_old_processes(), "a");
    EXPECT_EQ(places.counts, (std::vector<std::size_t>{1, 4, 2}));
    EXPECT_EQ(places.pids, (std::vector<int>{7}));
    EXPECT_EQ(places.sum(), 7U);
    EXPECT_TRUE(places_of({}, two_old_processes(), "c").counts.empty());
}

TEST(OldOrders, sessions_are_counted_where_nobody_answers_too) {
    EXPECT_EQ(sessions_of(two_old_processes(), {"web", "a"}), 9U);
    EXPECT_EQ(sessions_of(two_old_processes(), {"web", "b"}), 1U);
    EXPECT_EQ(sessions_of(two_old_processes(), {"db", "a"}), 5U) << "an answer is of one upstream";
}

TEST(OldOrders, what_stays_there_is_told_with_the_cure) {
    const auto old = two_old_processes();
    EXPECT_EQ(left_there(old[0], {"web", "a"}), "");
    EXPECT_EQ(left_there(old[1], {"web", "c"}), "");
    const auto text = left_there(old[1], {"web", "b"});
    EXPECT_TRUE(text.contains("1 session of web/b stays there")) << text;
    EXPECT_TRUE(text.contains("0.9.0")) << text;
    EXPECT_TRUE(text.ends_with("kill -TERM 8")) << text;
}

config::Backend backend(const char* name, const char* address,
                        config::BackendState state = config::BackendState::ready) {
    return {.name = name, .address = *Endpoint::parse(address), .state = state};
}

config::Config config_of(std::vector<config::Backend> backends) {
    config::Config config;
    config.listeners.push_back({.name = "in"});
    config.upstreams.push_back({.name = "web", .backends = std::move(backends)});
    return config;
}

/// `web/a drain`, one line each.
std::vector<std::string> lines_of(const std::vector<Order>& orders) {
    std::vector<std::string> lines;
    for (const auto& order : orders) {
        if (order.kind == Order::Kind::drain_listener) {
            lines.push_back("listener " + order.listener);
            continue;
        }
        EXPECT_EQ(order.kind, Order::Kind::change_backend);
        EXPECT_FALSE(order.change.weight);
        lines.push_back(order.change.name.upstream + "/" + order.change.name.backend + " " +
                        (order.change.state ? std::to_string(static_cast<int>(*order.change.state))
                                            : "as configured"));
    }
    return lines;
}

TEST(OrdersBetween, nothing_where_nothing_leaves) {
    const auto before = config_of({backend("a", "10.0.0.1:80")});
    auto now = before;
    now.upstreams[0].backends[0].weight = 7;
    now.listeners.push_back({.name = "more"});
    EXPECT_TRUE(orders_between(before, before).empty());
    EXPECT_TRUE(orders_between(before, now).empty());
}

TEST(OrdersBetween, what_leaves_drains_and_what_comes_back_does_not) {
    using enum config::BackendState;
    const auto all = config_of(
        {backend("a", "10.0.0.1:80"), backend("b", "10.0.0.2:80"), backend("c", "10.0.0.3:80")});
    auto fewer = config_of({backend("b", "10.0.0.9:80"), backend("c", "10.0.0.3:80", maintenance)});
    fewer.listeners.clear();
    EXPECT_EQ(lines_of(orders_between(all, fewer)),
              (std::vector<std::string>{"listener in", "web/a 1", "web/b 1", "web/c 2"}));
    EXPECT_EQ(lines_of(orders_between(fewer, all)),
              (std::vector<std::string>{"web/b 1", "web/c 0", "web/a 0"}));
}

// An old process may have other addresses than the configuration of before: it knows best.
TEST(OrdersBetween, a_backend_drains_where_it_is_not_at_its_new_address) {
    using enum config::BackendState;
    const auto here = config_of({backend("a", "10.0.0.1:80", maintenance)});
    const auto there = config_of({backend("a", "10.0.0.2:80", maintenance)});
    for (const auto& before : {there, config_of({})}) {
        const auto orders = orders_between(before, here);
        ASSERT_EQ(orders.size(), 1U);
        EXPECT_EQ(state_for(orders[0], *Endpoint::parse("10.0.0.1:80")), maintenance);
        EXPECT_EQ(state_for(orders[0], *Endpoint::parse("10.0.0.2:80")), drain);
        EXPECT_EQ(state_for(orders[0], *Endpoint::parse("10.0.0.3:80")), drain);
    }
    // By an operator, or by an earlier version.
    Order order{.kind = Order::Kind::change_backend};
    order.change.state = maintenance;
    EXPECT_EQ(state_for(order, *Endpoint::parse("10.0.0.1:80")), maintenance);
}

TEST(OrdersBetween, a_whole_upstream_leaves_and_comes_back) {
    const auto before = config_of({backend("a", "10.0.0.1:80")});
    auto now = before;
    now.upstreams.clear();
    EXPECT_EQ(lines_of(orders_between(before, now)), (std::vector<std::string>{"web/ 1"}));
    EXPECT_EQ(lines_of(orders_between(now, before)),
              (std::vector<std::string>{"web/ as configured"}));
}

}  // namespace
}  // namespace penstock::app
