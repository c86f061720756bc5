#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "config/diff.hpp"
#include "config/print.hpp"
#include "config/server_name.hpp"
#include "support.hpp"

namespace penstock::config {
namespace {

using testing::short_messages;
using testing::valid;
using Messages = std::vector<std::string>;

constexpr std::string_view route = "[[listener.route]]\nupstream = \"app\"\n";

std::string with_routes(std::string_view lines) { return valid(fmt::format("{}{}", route, lines)); }

TEST(ConfigServerName, WhatIsOne) {
    for (const auto* name : {"a", "example.com", "*.example.com", "*.com", "a-b.x_y.example",
                             "xn--bcher-kva.example", "1.2"})
        EXPECT_TRUE(check_server_name(name)) << name;
    const std::pair<std::string, std::string_view> wrong[] = {
        {"", "is empty"},
        {"Example.com", "write \"example.com\""},
        {"example.com.", "ends with a dot"},
        {"a..b", "empty label"},
        {".a", "empty label"},
        {"*", "not its whole first label"},
        {"*.", "ends with a dot"},
        {"a.*.b", "not its whole first label"},
        {"*a.b", "not its whole first label"},
        {"*.*.b", "not its whole first label"},
        {"https://a", "is a URL"},
        {"a:443", "without a port"},
        {"b\xC3\xBC"
         "cher.example",
         "xn--"},
        {"a b", "is no host name"},
        {std::string(64, 'a') + ".b", "more than 63 characters"},
        {std::string(254, 'a'), "longer than 253 characters"},
    };
    for (const auto& [name, problem] : wrong) {
        const auto valid = check_server_name(name);
        ASSERT_FALSE(valid) << name;
        EXPECT_NE(valid.error().find(problem), std::string::npos) << name << ": " << valid.error();
    }
}

TEST(ConfigRoutes, EveryMemberIsSet) {
    const auto result = testing::load(R"(
[[listener]]
name = "web"
bind = "127.0.0.1:8443"
client_hello_max = "32KiB"
starttls = "postgres"
proxy_protocol = "any"
proxy_protocol_from = ["10.0.0.0/8", "unix"]
proxy_protocol_untrusted = "ignore"
timeouts = { proxy_header = "1s", client_hello = "2s", tls_handshake = "3s" }

[listener.sni]
"b.example" = "app"
"*.a.example" = "db"

[[listener.route]]
sni = ["*.example.com", "example.com", ""]
alpn = ["h2", "x"]
source = "10.0.0.0/8"
role = "primary"
upstream = "db"
tls = "passthrough"
starttls = "postgres"
[[listener.route]]
split = [{ upstream = "app", weight = 3 }, "db"]

[[upstream]]
name = "app"
backend = "10.0.0.1:80"
[[upstream]]
name = "db"
backend = "10.0.0.2:80"
health_check = { type = "postgres", user = "u" }
)");
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    const auto& listener = result.config.listeners[0];
    EXPECT_EQ(listener.client_hello_max, 32U * 1024);
    EXPECT_EQ(listener.starttls, StartTls::postgres);
    EXPECT_EQ(listener.proxy_protocol, ProxyProtocol::any);
    EXPECT_EQ(listener.proxy_protocol_untrusted, ProxyProtocolUntrusted::ignore);
    EXPECT_TRUE(listener.proxy_protocol_from.unix_peers);
    EXPECT_EQ(listener.timeouts.proxy_header, std::chrono::seconds(1));
    EXPECT_EQ(listener.timeouts.client_hello, std::chrono::seconds(2));
    EXPECT_EQ(listener.timeouts.tls_handshake, std::chrono::seconds(3));
    EXPECT_EQ(listener.sni,
              (std::vector<SniUpstream>{{"*.a.example", "db"}, {"b.example", "app"}}));
    ASSERT_EQ(listener.routes.size(), 2U);
    const auto& first = listener.routes[0];
    EXPECT_EQ(first.sni, (std::vector<std::string>{"*.example.com", "example.com", ""}));
    EXPECT_EQ(first.alpn, (std::vector<std::string>{"h2", "x"}));
    EXPECT_EQ(first.source.prefixes.size(), 1U);
    EXPECT_EQ(first.role, Role::primary);
    EXPECT_EQ(first.upstream, "db");
    EXPECT_EQ(first.tls, RouteTls::passthrough);
    EXPECT_EQ(first.starttls, StartTls::postgres);
    EXPECT_EQ(listener.routes[1].split, (std::vector<SplitPart>{{"app", 3}, {"db", 1}}));
    EXPECT_EQ(result.config.upstreams[1].panic_threshold, 0) << "a route asks for a role";
    EXPECT_EQ(result.config.upstreams[0].panic_threshold, 0.5);
    EXPECT_EQ(testing::load(print(result.config)).config, result.config);
}

TEST(ConfigRoutes, NamesOfTheMap) {
    const auto sni = [](std::string_view line) {
        return short_messages(valid(fmt::format("[listener.sni]\n{}", line)));
    };
    EXPECT_EQ(sni("\"A.example\" = \"app\""),
              (Messages{"6:1 error: 'A.example' in [listener.sni] is not in lower case; write "
                        "\"a.example\""}));
    EXPECT_EQ(sni("\"\" = \"app\""), (Messages{"6:1 error: '' in [listener.sni] is empty"}));
    EXPECT_EQ(sni("a.example = \"app\""),
              (Messages{"6:1 error: a name with dots stands in quotes in [listener.sni]: "
                        "\"a.example\" = ..."}));
    EXPECT_EQ(sni("\"a.example\" = 5"),
              (Messages{"6:1 error: 'a.example' in [listener.sni] takes the name of an upstream in "
                        "quotes; this is an integer"}));
    EXPECT_EQ(sni("\"a.example\" = \"ap\""),
              (Messages{"6:1 error: there is no upstream 'ap'; did you mean 'app'? There are: "
                        "'app'"}));
    EXPECT_EQ(sni("\"a.example\" = \"\""),
              (Messages{"6:1 error: 'a.example' in [listener.sni] leads to no upstream"}));
    EXPECT_EQ(sni("backlog = 5"),
              (Messages{"6:1 error: 'backlog' belongs to [[listener]], not to [listener.sni]: move "
                        "it above line 5, [listener.sni]"}));
    EXPECT_EQ(short_messages(valid("sni = \"a\"")),
              (Messages{"5:7 error: 'sni' in [[listener]] takes a table; this is a string, write "
                        "sni = { \"example.com\" = \"web\" }"}));
}

TEST(ConfigRoutes, WhereTheyLead) {
    EXPECT_EQ(short_messages(with_routes("[[listener.route]]\nsni = \"a.example\"")),
              (Messages{"7:1 error: [[listener.route]] leads nowhere; add upstream = \"...\", or "
                        "'split'",
                        "7:1 warning: no client gets to this [[listener.route]]: one above it has "
                        "no condition"}));
    EXPECT_EQ(
        short_messages(with_routes("split = [\"app\"]")),
        (Messages{"6:12 error: 'upstream' and 'split' exclude each other: keep one of them"}));
    EXPECT_EQ(short_messages(valid("[[listener.route]]\nupstream = \"ap\"")),
              (Messages{"6:12 error: there is no upstream 'ap'; did you mean 'app'? There are: "
                        "'app'"}));
    EXPECT_EQ(short_messages(valid("[[listener.route]]\nsplit = [\"app\", \"app\"]")),
              (Messages{"6:17 error: upstream 'app' is twice in 'split'; add up its weights"}));
    EXPECT_EQ(
        short_messages(valid("[[listener.route]]\nsplit = [{ upstream = \"app\", weight = 0 }]")),
        (Messages{"6:9 error: every weight in 'split' is 0, so nobody could be served"}));
    EXPECT_EQ(short_messages(with_routes("role = \"primary\"")).size(), 1U)
        << "the upstream has no check that reports roles";
    // Who is used by a route or by a name is used.
    const auto used = [](std::string_view lines) {
        return short_messages(
            valid(lines, "[[upstream]]\nname = \"b\"\nbackend = \"10.0.0.2:80\""));
    };
    EXPECT_EQ(used("[[listener.route]]\nsni = \"a\"\nupstream = \"b\""), Messages{});
    EXPECT_EQ(used("[[listener.route]]\nsni = \"a\"\nsplit = \"b\""), Messages{});
    EXPECT_EQ(used("[listener.sni]\n\"a\" = \"b\""), Messages{});
    EXPECT_EQ(used("").size(), 1U);
}

TEST(ConfigRoutes, NamesOfARoute) {
    EXPECT_EQ(short_messages(with_routes("sni = [\"a.example\", \"A.example\"]")),
              (Messages{"7:21 error: 'sni' in [[listener.route]]: 'A.example' is not in lower "
                        "case; write \"a.example\""}));
    EXPECT_EQ(short_messages(with_routes("sni = [\"a.example\", \"a.example\"]")),
              (Messages{"7:21 error: 'sni' in [[listener.route]]: 'a.example' is there twice"}));
    EXPECT_EQ(short_messages(with_routes("sni = \"\"")), Messages{});
}

TEST(ConfigRoutes, ThoseThatNobodyReaches) {
    constexpr std::string_view by_name = "sni = [\"a\", \"b\"]\n";
    const auto covered = [](int line) {
        return Messages{
            fmt::format("{}:7 warning: no client gets to this [[listener.route]]: "
                        "[listener.sni] and routes above it take all its names",
                        line)};
    };
    EXPECT_EQ(short_messages(with_routes(fmt::format("{0}{1}sni = \"b\"", by_name, route))),
              covered(10));
    EXPECT_EQ(short_messages(
                  with_routes(fmt::format("{0}alpn = \"h2\"\n{1}sni = \"b\"", by_name, route))),
              Messages{})
        << "the first one asks for more than the name";
    EXPECT_EQ(
        short_messages(with_routes(fmt::format("{0}{1}sni = [\"b\", \"c\"]", by_name, route))),
        Messages{});
    EXPECT_EQ(short_messages(with_routes("sni = \"b\"\n[listener.sni]\n\"b\" = \"app\"")),
              covered(7));
}

TEST(ConfigRoutes, WhatTheyAskOfTls) {
    EXPECT_EQ(short_messages(with_routes("tls = \"terminate\"")),
              (Messages{"7:7 error: tls = \"terminate\" needs certificates: add [listener.tls] to "
                        "listener 'web'"}));
    EXPECT_EQ(short_messages(with_routes("starttls = \"postgres\"")),
              (Messages{"7:12 error: 'starttls' needs TLS to follow: add [listener.tls], or tls = "
                        "\"passthrough\" to the route"}));
    EXPECT_EQ(short_messages(with_routes("starttls = \"postgres\"\ntls = \"passthrough\"")),
              Messages{});
    EXPECT_EQ(short_messages(valid("starttls = \"postgres\"")),
              (Messages{"5:12 error: listener 'web': 'starttls' needs TLS to follow: add "
                        "[listener.tls], [listener.sni] or a route with tls = \"passthrough\""}));
    EXPECT_EQ(short_messages(valid("starttls = \"postgres\"\ntls = { certificates = \"a\" }")),
              Messages{});
    EXPECT_EQ(short_messages(valid("starttls = \"postgres\"\nsni = { \"a\" = \"app\" }")),
              Messages{});
    // Nothing ends here.
    constexpr std::string_view head =
        "[[listener]]\nname = \"web\"\nbind = \":443\"\n{}[listener.tls]\ncertificates = \"a\"\n"
        "[[listener.route]]\nsni = \"a\"\nupstream = \"app\"\ntls = \"{}\"\n"
        "[[upstream]]\nname = \"app\"\nbackend = \"10.0.0.1:80\"\n";
    EXPECT_EQ(short_messages(fmt::format(head, "", "passthrough")),
              (Messages{"5:16 warning: listener 'web': every route passes TLS through and there is "
                        "no other way, so [listener.tls] has no effect"}));
    EXPECT_EQ(short_messages(fmt::format(head, "", "terminate")), Messages{});
    EXPECT_EQ(short_messages(fmt::format(head, "upstream = \"app\"\n", "passthrough")), Messages{});
}

TEST(ConfigRoutes, WhoWantsNamesWaitsForThem) {
    constexpr std::string_view hashing = "balance = \"maglev\"\nhash_key = \"sni\"";
    const auto waits = [](std::string_view place, std::string_view why) {
        return fmt::format(
            "{} warning: upstream 'app' has {}, so listener 'web' waits for what its clients say "
            "first, for 5s ('client_hello' in [listener.timeouts]) from those who say nothing; "
            "where all of them speak TLS, a [[listener.route]] with tls = \"passthrough\" says so",
            place, why);
    };
    const auto hashed = [&](std::string_view place) { return waits(place, "hash_key = \"sni\""); };
    EXPECT_EQ(short_messages(valid({}, hashing)), Messages{hashed("4:12")});
    EXPECT_EQ(short_messages(valid({},
                                   "send_proxy_protocol = \"v2\"\n"
                                   "send_proxy_protocol_tlvs = \"authority\"")),
              Messages{waits("4:12", "\"authority\" in send_proxy_protocol_tlvs")});
    EXPECT_EQ(short_messages(valid("tls = { certificates = \"a\" }", hashing)), Messages{});
    EXPECT_EQ(short_messages(valid("sni = { \"a\" = \"app\" }", hashing)), Messages{});
    EXPECT_EQ(
        short_messages(valid("[[listener.route]]\nalpn = \"h2\"\nupstream = \"app\"", hashing)),
        Messages{});
    EXPECT_EQ(
        short_messages(valid("[[listener.route]]\nsource = \"unix\"\nupstream = \"app\"", hashing)),
        (Messages{hashed("4:12"), hashed("7:12")}));
}

/// Anything that looks at every name for every name would take minutes.
TEST(ConfigRoutes, AHundredThousandNames) {
    constexpr std::size_t count = 100'000;
    std::string text = "[listener.sni]\n";
    for (std::size_t i = 0; i < count; ++i)
        text += fmt::format("\"t{}.example.com\" = \"app\"\n", i * 7919 % count);
    const auto start = std::chrono::steady_clock::now();
    const auto result = testing::load(valid(text));
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    ASSERT_EQ(result.config.listeners[0].sni.size(), count);
    auto other = result.config;
    other.listeners[0].sni.pop_back();
    const auto changes = diff(result.config, other);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_EQ(changes[0].from, "t99999.example.com=app");
    EXPECT_EQ(changes[0].to, "");
    other.listeners[0].sni.clear();
    EXPECT_LT(diff(result.config, other)[0].from.size(), 1000U);
    EXPECT_FALSE(digest(result.config, other).empty());
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

}  // namespace
}  // namespace penstock::config
