#include "proxy/routing/router.hpp"

#include <map>

#include <gtest/gtest.h>

#include "proxy/context.hpp"
#include "proxy/pool/warm_pool.hpp"

namespace penstock::proxy {
namespace {

UpstreamPtr upstream_called(const std::string& name) {
    config::Upstream settings;
    settings.name = name;
    auto first = std::make_shared<const balancer::Snapshot>(
        std::make_shared<const balancer::BackendSet>(std::vector<balancer::BackendEntry>{}));
    return new UpstreamContext(std::make_shared<UpstreamShared>(settings, 1),
                               std::make_shared<const config::Upstream>(settings), std::move(first),
                               0, 1);
}

/// A listener's router in front of the upstreams a, b and c.
class RouterTest : public testing::Test {
protected:
    RouterTest() {
        for (const char* name : {"a", "b", "c"}) upstreams[name] = upstream_called(name);
        listener.upstream = "a";
    }
    Choice choose(const std::string& name = "", const std::string& from = "192.0.2.1:1") {
        if (!router) {
            table.emplace(listener);
            router.emplace(listener, *table, by_name(), 0, random);
        }
        client = Endpoint::parse(from).value().ip();
        return router->choose({.client = client, .server_name = name});
    }
    Router::Named by_name() {
        return [this](const std::string& name) {
            const auto found = upstreams.find(name);
            return found == upstreams.end() ? UpstreamPtr() : found->second;
        };
    }
    static std::string name_of(const Choice& choice) {
        return choice.upstream == nullptr ? "" : choice.upstream->shared->name;
    }

    std::map<std::string, UpstreamPtr> upstreams;
    config::Listener listener;
    CompactEndpoint client;
    Random random{1};
    std::optional<RouteTable> table;
    std::optional<Router> router;
};

TEST_F(RouterTest, says_which_name_or_route_has_decided) {
    listener.sni = {{"*.one.test", "b"}};
    listener.routes = {{.sni = {"no.test"}, .upstream = "b"},
                       {.sni = {"two.test"}, .upstream = "c"}};
    const Choice by_sni = choose("x.one.test");
    EXPECT_EQ(name_of(by_sni), "b");
    EXPECT_EQ(by_sni.name, "*.one.test");
    EXPECT_EQ(by_sni.number, 0U);
    const Choice by_route = choose("two.test");
    EXPECT_EQ(name_of(by_route), "c");
    EXPECT_EQ(by_route.name, "");
    EXPECT_EQ(by_route.number, 2U) << "routes are counted from one";
    const Choice by_listener = choose("three.test");
    EXPECT_EQ(name_of(by_listener), "a");
    EXPECT_EQ(by_listener.number, 0U);
    EXPECT_EQ(by_listener.name, "");
}

TEST_F(RouterTest, what_nothing_claims_has_no_route) {
    listener.upstream = "";
    listener.routes = {{.sni = {"two.test"}, .upstream = "c"}};
    EXPECT_EQ(choose("three.test").upstream, nullptr);
    EXPECT_EQ(name_of(choose("two.test")), "c");
}

TEST_F(RouterTest, a_route_without_a_role_asks_for_that_of_the_listener) {
    listener.role = Role::primary;
    listener.sni = {{"one.test", "b"}};
    listener.routes = {{.sni = {"two.test"}, .role = Role::replica, .upstream = "b"},
                       {.sni = {"three.test"}, .upstream = "b"}};
    EXPECT_EQ(choose("one.test").role, Role::primary);
    EXPECT_EQ(choose("two.test").role, Role::replica);
    EXPECT_EQ(choose("three.test").role, Role::primary);
    EXPECT_EQ(choose("four.test").role, Role::primary);
}

TEST_F(RouterTest, tls_ends_where_there_are_certificates_unless_a_route_passes_it_on) {
    using enum config::RouteTls;
    listener.sni = {{"name.test", "b"}};
    listener.routes = {{.sni = {"auto.test"}, .upstream = "b", .tls = automatic},
                       {.sni = {"end.test"}, .upstream = "b", .tls = terminate},
                       {.sni = {"pass.test"}, .upstream = "b", .tls = passthrough}};
    EXPECT_FALSE(choose("name.test").terminates);
    EXPECT_FALSE(choose("auto.test").terminates);
    EXPECT_FALSE(choose("other.test").terminates);
    listener.tls.emplace();
    EXPECT_TRUE(choose("name.test").terminates);
    EXPECT_TRUE(choose("auto.test").terminates);
    EXPECT_TRUE(choose("end.test").terminates);
    EXPECT_FALSE(choose("pass.test").terminates);
    EXPECT_TRUE(choose("other.test").terminates);
}

TEST_F(RouterTest, a_route_may_split_its_clients) {
    listener.routes = {{.sni = {"two.test"}, .split = {{"b", 7}, {"c", 3}}}};
    std::map<std::string, int> counts;
    for (int i = 0; i < 100; ++i) ++counts[name_of(choose("two.test"))];
    EXPECT_EQ(counts, (std::map<std::string, int>{{"b", 70}, {"c", 30}}));
    EXPECT_EQ(name_of(choose("three.test")), "a");
}

TEST_F(RouterTest, a_split_by_source_holds_for_routes_as_well) {
    listener.split_by = config::SplitBy::source_ip;
    listener.routes = {{.sni = {"two.test"}, .split = {{"b", 1}, {"c", 1}}}};
    std::map<std::string, int> counts;
    for (int i = 0; i < 50; ++i) {
        const std::string source = "10.0.0." + std::to_string(i) + ":";
        const auto first = name_of(choose("two.test", source + "1"));
        EXPECT_EQ(name_of(choose("two.test", source + "2")), first);
        ++counts[first];
    }
    EXPECT_EQ(counts.size(), 2U);
}

TEST_F(RouterTest, an_operator_changes_the_split_of_the_listener_alone) {
    listener.upstream = "";
    listener.split = {{"a", 1}, {"b", 1}};
    listener.routes = {{.sni = {"two.test"}, .split = {{"a", 1}, {"b", 1}}}};
    std::ignore = choose();
    router->set_split({0, 1}, by_name(), 0, random);
    std::map<std::string, int> counts;
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(name_of(choose()), "b");
        ++counts[name_of(choose("two.test"))];
    }
    EXPECT_EQ(counts, (std::map<std::string, int>{{"a", 5}, {"b", 5}}));
}

}  // namespace
}  // namespace penstock::proxy
