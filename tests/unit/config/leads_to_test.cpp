#include "config/leads_to.hpp"

#include <gtest/gtest.h>

namespace penstock::config {
namespace {

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

TEST(LeadsStarttlsTo, where_the_listener_or_the_route_answers_the_request) {
    Listener listener{.upstream = "web", .sni = {{"a.example", "named"}}};
    listener.routes = {{.upstream = "db", .starttls = StartTls::postgres}, {.upstream = "other"}};
    EXPECT_TRUE(leads_starttls_to(listener, "db"));
    for (const auto* plain : {"web", "named", "other"})
        EXPECT_FALSE(leads_starttls_to(listener, plain)) << plain;
    listener.starttls = StartTls::postgres;
    for (const auto* asked : {"web", "named", "other", "db"})
        EXPECT_TRUE(leads_starttls_to(listener, asked)) << asked;
    EXPECT_FALSE(leads_starttls_to(listener, "nowhere"));
}

}  // namespace
}  // namespace penstock::config
