#include "app/leads_to.hpp"

#include <gtest/gtest.h>

namespace penstock::app {
namespace {

using config::Listener;

TEST(LeadsTo, by_the_listener_itself_alone_or_in_a_split) {
    const Listener only{.upstream = "web"};
    EXPECT_TRUE(leads_to(only, "web", Role::none));
    EXPECT_FALSE(leads_to(only, "web", Role::primary));
    EXPECT_FALSE(leads_to(only, "other", Role::none));
    const Listener split{.role = Role::replica, .split = {{"v1", 95}, {"v2", 5}}};
    EXPECT_TRUE(leads_to(split, "v2", Role::replica));
    EXPECT_FALSE(leads_to(split, "v2", Role::none));
}

TEST(LeadsTo, by_a_server_name_with_the_role_of_the_listener) {
    const Listener listener{.role = Role::primary, .sni = {{"*.example", "db"}}};
    EXPECT_TRUE(leads_to(listener, "db", Role::primary));
    EXPECT_FALSE(leads_to(listener, "db", Role::replica));
}

TEST(LeadsTo, by_a_route_with_its_own_role_or_else_that_of_the_listener) {
    Listener listener{.upstream = "web", .role = Role::primary};
    listener.routes = {{.role = Role::replica, .upstream = "db"},
                       {.split = {{"v1", 1}, {"db", 1}}}};
    EXPECT_TRUE(leads_to(listener, "db", Role::replica));
    EXPECT_TRUE(leads_to(listener, "db", Role::primary));
    EXPECT_TRUE(leads_to(listener, "v1", Role::primary));
    EXPECT_FALSE(leads_to(listener, "v1", Role::replica));
}

}  // namespace
}  // namespace penstock::app
