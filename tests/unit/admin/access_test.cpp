// Who may do what: pure tables.
#include <gtest/gtest.h>

#include "admin/access.hpp"

namespace penstock::admin {
namespace {

using config::AdminAccess;

const std::string token = "0123456789abcdef0123456789abcdef";

CompactEndpoint ip(const char* text) { return Endpoint::parse(text)->ip(); }

AccessRules rules(AdminAccess access, const std::string& with_token = "",
                  std::vector<std::string> hosts = {}) {
    config::AdminListener listener;
    listener.access = access;
    listener.token_file = "/etc/penstock/operator.token";
    return {listener, std::move(hosts), with_token};
}

Caller local() { return {.peer = ip("127.0.0.1:5000"), .local = ip("127.0.0.1:9901")}; }
Caller remote() { return {.peer = ip("10.0.0.9:5000"), .local = ip("10.0.0.1:9901")}; }
Caller over_unix() { return {.over_unix = true, .uid = "uid 1000"}; }

unsigned status(const AccessRules& of, const Caller& caller, Need need,
                const Credentials& credentials = {.host = "localhost:9901"}) {
    const auto denial = of.judge(caller, credentials, need);
    return denial ? denial->status : 200;
}

struct Case {
    AdminAccess access;
    bool has_token;
    Caller caller;
    std::string authorization;
    unsigned metrics;
    unsigned page;
    unsigned read;
    unsigned change;
};

TEST(AdminAccess, M2_who_needs_a_token_and_who_may_do_what) {
    const std::string good = "Bearer " + token;
    const std::string wrong = "Bearer " + token.substr(1) + "X";
    using enum AdminAccess;
    const Case cases[] = {
        {metrics, false, remote(), "", 200, 403, 403, 403},
        {metrics, true, remote(), good, 200, 403, 403, 403},
        {read, false, local(), "", 200, 200, 200, 403},
        {read, true, local(), "", 200, 200, 401, 401},
        {read, true, remote(), "", 200, 200, 401, 401},
        {read, true, remote(), good, 200, 200, 200, 403},
        {read, false, remote(), "", 200, 200, 401, 401},
        {full, true, local(), "", 200, 200, 401, 401},
        {full, true, local(), good, 200, 200, 200, 200},
        {full, true, remote(), good, 200, 200, 200, 200},
        {full, true, remote(), "bearer " + token, 200, 200, 200, 200},
        {full, true, remote(), wrong, 200, 200, 401, 401},
        {full, true, remote(), token, 200, 200, 401, 401},
        {full, true, remote(), "Basic " + token, 200, 200, 401, 401},
        {full, true, remote(), "Bearer ", 200, 200, 401, 401},
        {full, true, remote(), good + "x", 200, 200, 401, 401},
        {full, true, remote(), std::string(100'000, 'x'), 200, 200, 401, 401},
        {full, false, over_unix(), "", 200, 200, 200, 200},
        {read, false, over_unix(), "", 200, 200, 200, 403},
        {metrics, false, over_unix(), "", 200, 403, 403, 403},
    };
    for (std::size_t i = 0; i < std::size(cases); ++i) {
        SCOPED_TRACE(i);
        const Case& c = cases[i];
        const AccessRules of = rules(c.access, c.has_token ? token : "", {"proxy.internal"});
        const Credentials credentials{.host = "proxy.internal", .authorization = c.authorization};
        EXPECT_EQ(status(of, c.caller, Need::metrics, credentials), c.metrics);
        EXPECT_EQ(status(of, c.caller, Need::page, credentials), c.page);
        EXPECT_EQ(status(of, c.caller, Need::read, credentials), c.read);
        EXPECT_EQ(status(of, c.caller, Need::change, credentials), c.change);
    }
}

TEST(AdminAccess, M3_a_foreign_host_is_refused_but_not_for_probes_and_metrics) {
    const AccessRules of = rules(AdminAccess::read, "", {"proxy.internal", "[2001:db8::1]"});
    for (const char* host : {"127.0.0.1", "127.0.0.1:9901", "localhost", "LOCALHOST:1",
                             "Proxy.Internal", "proxy.internal:9901", "[2001:db8::1]:9901"})
        EXPECT_EQ(status(of, local(), Need::read, {.host = host}), 200U) << host;
    for (const char* host : {"", "evil.example", "evil.example:9901", "127.0.0.1.evil.example",
                             "10.0.0.1", "localhost.evil.example", "[::1]"})
        EXPECT_EQ(status(of, local(), Need::read, {.host = host}), 421U) << host;
    EXPECT_EQ(status(of, local(), Need::metrics, {.host = "evil.example"}), 200U);
    EXPECT_EQ(status(of, local(), Need::page, {.host = "evil.example"}), 421U);
    EXPECT_EQ(status(of, over_unix(), Need::read, {.host = "whatever"}), 200U);
    const Caller over_ipv6{.peer = ip("[::1]:5"), .local = ip("[::1]:9901")};
    EXPECT_EQ(status(of, over_ipv6, Need::read, {.host = "[::1]:9901"}), 200U);
}

TEST(AdminAccess, M3_a_page_of_another_origin_changes_nothing) {
    const AccessRules of = rules(AdminAccess::full, token);
    const std::string good = "Bearer " + token;
    const auto change = [&](const char* origin) {
        return status(of, local(), Need::change,
                      {.host = "localhost:9901", .origin = origin, .authorization = good});
    };
    EXPECT_EQ(change(""), 200U);
    EXPECT_EQ(change("http://localhost:9901"), 200U);
    EXPECT_EQ(change("https://LOCALHOST:9901"), 200U);
    EXPECT_EQ(change("http://localhost:8080"), 403U);
    EXPECT_EQ(change("http://evil.example"), 403U);
    EXPECT_EQ(change("null"), 403U);
}

TEST(AdminAccess, allow_lists_networks) {
    config::AdminListener listener;
    listener.allow.prefixes = {*Prefix::parse("10.0.0.0/24"), *Prefix::parse("::1")};
    const AccessRules of(listener, {}, "");
    EXPECT_TRUE(of.admits(remote()));
    EXPECT_FALSE(of.admits(local()));
    EXPECT_TRUE(of.admits({.peer = ip("[::1]:5")}));
    EXPECT_TRUE(of.admits(over_unix()));
    EXPECT_TRUE(rules(AdminAccess::read).admits(local())) << "an empty list is everybody";
}

TEST(AdminAccess, who_did_it) {
    const AccessRules of = rules(AdminAccess::full, token);
    const std::string good = "Bearer " + token;
    EXPECT_EQ(of.actor(over_unix(), {}), "uid 1000");
    EXPECT_EQ(of.actor(remote(), {.authorization = good}), "token operator.token");
    EXPECT_EQ(of.actor(remote(), {}), "10.0.0.9");
    EXPECT_EQ(of.actor({.peer = ip("[2001:db8::5]:1")}, {}), "2001:db8::5");
}

TEST(AdminAccess, a_new_token_counts_and_the_old_one_does_not) {
    AccessRules of = rules(AdminAccess::full, token);
    of.set_token("another-token-of-22-chars");
    const auto read = [&](const std::string& with) {
        return status(of, local(), Need::read, {.host = "localhost", .authorization = with});
    };
    EXPECT_EQ(read("Bearer " + token), 401U);
    EXPECT_EQ(read("Bearer another-token-of-22-chars"), 200U);
}

TEST(AdminAccess, comparing_in_constant_time_compares) {
    EXPECT_TRUE(equal_in_constant_time("", ""));
    EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
    EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
    EXPECT_FALSE(equal_in_constant_time("abc", "xbc"));
    EXPECT_FALSE(equal_in_constant_time("abc", "abcd"));
    EXPECT_FALSE(equal_in_constant_time(std::string("a\0b", 3), std::string("a\0c", 3)));
}

}  // namespace
}  // namespace penstock::admin
