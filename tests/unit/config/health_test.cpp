#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "config/backend_file.hpp"
#include "config/print.hpp"
#include "support.hpp"

namespace penstock::config {
namespace {

using namespace std::chrono_literals;
using testing::short_messages;
using testing::valid;
using Messages = std::vector<std::string>;

Upstream upstream_of(std::string_view lines) {
    const auto result = testing::load(valid({}, lines));
    EXPECT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    return result.config.upstreams.at(0);
}

TEST(ConfigHealth, EveryKeyIsSet) {
    const auto upstream = upstream_of(R"(
panic_threshold = 0.25
on_backend_down = "drain"
down_grace = "4s"
on_role_change = "kill"
drain = { wait = "never", close_over = "7s" }
[upstream.health_check]
type = "http"
interval = "3s"
fast_interval = "300ms"
down_interval = { base = "2s", max = "40s" }
timeout = "1500ms"
rise = 4
fall = 5
jitter = 0.2
initial = "down"
port = 8008
tls = "on"
http = { method = "HEAD", path = "/ready?x=1", host = "db", status = [200, "300-302"], primary_status = "200", replica_status = [503] }
[upstream.circuit_breaker]
enabled = false
consecutive_failures = 6
failure_rate = 0.75
min_samples = 30
window = "20s"
open_for = { base = "5s", max = "1m" }
half_open_trials = 3
max_open_share = 0.3
early_reset_counts = false
dry_run = true
)");
    EXPECT_EQ(upstream.panic_threshold, 0.25);
    EXPECT_EQ(upstream.on_backend_down, OnBackendDown::drain);
    EXPECT_EQ(upstream.down_grace, 4s);
    EXPECT_EQ(upstream.on_role_change, OnRoleChange::kill);
    EXPECT_EQ(upstream.drain, (Drain{never, 7s}));
    const HealthCheck check{.type = CheckType::http,
                            .interval = 3s,
                            .fast_interval = 300ms,
                            .down_interval = {2s, 40s},
                            .timeout = 1500ms,
                            .rise = 4,
                            .fall = 5,
                            .jitter = 0.2,
                            .initial = CheckInitial::down,
                            .port = 8008,
                            .tls = CheckTls::on,
                            .http = {.method = "HEAD",
                                     .path = "/ready?x=1",
                                     .host = "db",
                                     .status = {{200, 200}, {300, 302}},
                                     .primary_status = {{200, 200}},
                                     .replica_status = {{503, 503}}}};
    EXPECT_EQ(upstream.health_check, check);
    const CircuitBreaker breaker{.enabled = false,
                                 .consecutive_failures = 6,
                                 .failure_rate = 0.75,
                                 .min_samples = 30,
                                 .window = 20s,
                                 .open_for = {5s, 1min},
                                 .half_open_trials = 3,
                                 .max_open_share = 0.3,
                                 .early_reset_counts = false,
                                 .dry_run = true};
    EXPECT_EQ(upstream.circuit_breaker, breaker);
}

TEST(ConfigHealth, ShortForm) {
    EXPECT_EQ(upstream_of("health_check = \"tcp\"").health_check.type, CheckType::tcp);
    const auto defaults =
        testing::load(valid({}, {}, "[defaults.upstream]\nhealth_check = \"tls\"\n"));
    EXPECT_TRUE(defaults.diagnostics.empty()) << format(defaults.diagnostics);
    EXPECT_EQ(defaults.config.upstreams[0].health_check.type, CheckType::tls);
}

TEST(ConfigHealth, ExchangedBytesSurvivePrinting) {
    const auto text = valid({},
                            "[upstream.health_check]\ntype = \"exchange\"\n"
                            "exchange = { send = \"a\\u0000\\r\\n\\\"b\", expect = \"\\t\" }");
    const auto first = testing::load(text);
    ASSERT_TRUE(first.diagnostics.empty()) << format(first.diagnostics);
    const auto& exchange = first.config.upstreams[0].health_check.exchange;
    EXPECT_EQ(exchange.send, std::string("a\0\r\n\"b", 6));
    const auto again = testing::load(print(first.config));
    ASSERT_TRUE(again.diagnostics.empty()) << format(again.diagnostics);
    EXPECT_EQ(again.config.upstreams[0].health_check.exchange, exchange);
}

TEST(ConfigHealth, PanicIsOffWhereTheWrongBackendIsWorseThanNone) {
    EXPECT_EQ(upstream_of("").panic_threshold, 0.5);
    EXPECT_EQ(upstream_of("no_backend = \"hold\"").panic_threshold, 0);
    EXPECT_EQ(upstream_of("no_backend = \"hold\"\npanic_threshold = 0.5").panic_threshold, 0.5);
    const auto role = testing::load(valid("role = \"primary\"", "health_check = \"redis\""));
    EXPECT_TRUE(role.diagnostics.empty()) << format(role.diagnostics);
    EXPECT_EQ(role.config.listeners[0].role, Role::primary);
    EXPECT_EQ(role.config.upstreams[0].panic_threshold, 0);
}

TEST(ConfigHealth, HostNames) {
    const auto result = testing::load(
        "[[listener]]\nname = \"web\"\nbind = \":80\"\nupstream = \"u\"\n[[upstream]]\nname = "
        "\"u\"\n"
        "backend = [\"app.example:8080\", { address = \"localhost:81\", name = \"b\" }]\n");
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    const auto& backends = result.config.upstreams[0].backends;
    EXPECT_EQ(backends[0].host, "app.example");
    EXPECT_EQ(backends[0].host_port, 8080);
    EXPECT_EQ(backends[0].name, "app.example:8080");
    EXPECT_EQ(backends[0].address, Endpoint{});
    EXPECT_EQ(backends[1].name, "b");
    EXPECT_NE(print(result.config).find("address = \"app.example:8080\""), std::string::npos);
    EXPECT_EQ(testing::load(print(result.config)).config, result.config);
}

TEST(ConfigHealth, WhatCannotWork) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"health_check = \"icmp\"",
         "9:16 error: 'type' in [upstream.health_check]: 'icmp' is "
         "unknown; "},
        {"health_check = { type = \"tcp\", down_interval = { base = \"1m\", max = \"1s\" } }",
         "the base 1m of down_interval is above its max 1s"},
        {"health_check = { type = \"http\", http = { path = \"x\" } }",
         "'path' must begin with / and have no blanks"},
        {"health_check = { type = \"http\", http = { status = [] } }",
         "no status is healthy: 'status' is empty"},
        {"health_check = { type = \"http\", http = { status = [99] } }",
         "'99' is no status or range of them"},
        {"health_check = { type = \"http\", http = { status = \"300-200\" } }",
         "'300-200' ends before it begins"},
        {"health_check = { type = \"http\", http = { primary_status = [200], replica_status = "
         "[\"200-204\"] } }",
         "a status is in 'primary_status' and in 'replica_status'"},
        {"health_check = { type = \"mysql\", tls = \"on\" }",
         "this type of check does not speak TLS"},
        {"health_check = \"mysql\"\ntls = {}",
         "checks of type \"mysql\" do not speak TLS, and these backends get it"},
        {"health_check = \"postgres\"\ntls = {}",
         "checks of type \"postgres\" do not know the system's authorities; give 'ca'"},
        {"health_check = \"mysql\"\nsend_proxy_protocol = \"v1\"",
         "checks of type \"mysql\" cannot begin with the PROXY header"},
        {"health_check = \"postgres\"\nsend_proxy_protocol = \"v2\"",
         "checks of type \"postgres\" cannot begin with the PROXY header"},
        {"health_check = { type = \"redis\", password_file = \"/nonexistent/secret\" }",
         "'password_file': /nonexistent/secret: there is no such file"},
        {"circuit_breaker = { open_for = { base = \"1h\", max = \"1s\" } }",
         "the base 1h of open_for is above its max 1s"},
        {"[[upstream.discovery]]\ntype = \"dns\"\nname = \"a.b\"",
         "discovery of type \"dns\" needs 'port'"},
        {"[[upstream.discovery]]\ntype = \"srv\"", "discovery of type \"srv\" needs 'name'"},
        {"[[upstream.discovery]]\ntype = \"file\"", "discovery of type \"file\" needs 'path'"},
        {"[[upstream.discovery]]\ntype = \"file\"\npath = \"/nonexistent/list\"",
         "/nonexistent/list: there is no such file"},
        {"[[upstream.discovery]]\nname = \"a_b!\"\nport = 1", "'name' is no host name"},
        {"[[upstream.discovery]]\nname = \"a\"\nport = 1\nmin_ttl = \"2m\"",
         "'min_ttl' 2m is above 'max_ttl' 1m"},
        {"[[upstream.discovery]]\nname = \"a\"\nport = 1\nresolver = [\"unix:/x\"]",
         "'unix:/x' is no address of a name server"},
        {"[[upstream.discovery]]\nname = \"a\"\nport = 1\n[[upstream.discovery]]\nname = \"a\"\n"
         "port = 1",
         "the same source twice"},
    };
    for (const auto& [lines, expected] : rows) {
        const auto all = short_messages(valid({}, lines));
        ASSERT_FALSE(all.empty()) << lines;
        EXPECT_NE(all[0].find(expected), std::string::npos) << lines << '\n' << all[0];
        EXPECT_NE(all[0].find("error: "), std::string::npos) << all[0];
    }
}

TEST(ConfigHealth, WhatHasNoEffect) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"on_backend_down = \"kill\"", "'on_backend_down' has no effect without a health_check"},
        {"on_role_change = \"kill\"", "'on_role_change' has no effect without a health_check"},
        {"down_grace = \"1s\"\nhealth_check = \"tcp\"",
         "'down_grace' has no effect with on_backend_down = \"keep\""},
        {"health_check = { type = \"tcp\", http = { path = \"/x\" } }",
         "'http' has no effect without type = \"http\""},
        {"health_check = { type = \"tcp\", exchange = { send = \"x\" } }",
         "'exchange' has no effect without type = \"exchange\""},
        {"health_check = { type = \"tcp\", user = \"x\" }", "'user' has no effect"},
        {"health_check = { type = \"redis\", database = \"x\" }", "'database' has no effect"},
        {"health_check = { type = \"tcp\", tls = \"on\" }",
         "'tls' has no effect on checks of type \"tcp\"; use type = \"tls\""},
        {"[[upstream.discovery]]\ntype = \"srv\"\nname = \"a\"\nport = 1",
         "'port' has no effect with type = \"srv\""},
    };
    for (const auto& [lines, expected] : rows) {
        const auto all = short_messages(valid({}, lines));
        ASSERT_EQ(all.size(), 1U) << lines;
        EXPECT_NE(all[0].find(expected), std::string::npos) << lines << '\n' << all[0];
        EXPECT_NE(all[0].find("warning: "), std::string::npos) << all[0];
    }
}

TEST(ConfigHealth, ARoleNeedsACheckThatReportsIt) {
    const auto all = short_messages(valid("role = \"replica\"", "health_check = \"tcp\""));
    ASSERT_EQ(all.size(), 1U);
    EXPECT_NE(all[0].find("5:8 error: listener 'web' asks for the replica of upstream 'app', whose "
                          "health_check reports no role"),
              std::string::npos)
        << all[0];
    EXPECT_TRUE(short_messages(valid("role = \"replica\"",
                                     "health_check = { type = \"http\", http = { replica_status = "
                                     "200 } }"))
                    .empty());
}

TEST(BackendFile, Lines) {
    const auto read = parse_backend_file(
        "\xEF\xBB\xBF# a list\r\n10.0.0.1:80\r\n\n [::1]:81\tname=b weight=0 tier=3 "
        "max_connections=7 # fine\napp.example:82 weight=2",
        10);
    ASSERT_TRUE(read);
    const std::vector<FileBackend> expected{{.address = *Endpoint::parse("10.0.0.1:80")},
                                            {.name = "b",
                                             .address = *Endpoint::parse("[::1]:81"),
                                             .weight = 0,
                                             .tier = 3,
                                             .max_connections = 7},
                                            {.host = "app.example", .host_port = 82, .weight = 2}};
    EXPECT_EQ(*read, expected);
    EXPECT_TRUE(parse_backend_file("", 1)->empty());
    EXPECT_EQ(parse_backend_file("[::1]:80\n", 1)->size(), 1U);
}

TEST(BackendFile, Json) {
    for (
        const auto* text :
        {R"(["10.0.0.1:80", {"address": "h:1", "name": "b", "weight": 3, "tier": 1}])",
         R"( {"backends": ["10.0.0.1:80", {"address": "h:1", "name": "b", "weight": 3, "tier": 1}]})"}) {
        const auto read = parse_backend_file(text, 10);
        ASSERT_TRUE(read) << text;
        ASSERT_EQ(read->size(), 2U);
        EXPECT_EQ((*read)[1],
                  (FileBackend{.name = "b", .host = "h", .host_port = 1, .weight = 3, .tier = 1}));
    }
    EXPECT_TRUE(parse_backend_file("[]", 1)->empty());
}

TEST(BackendFile, WhatIsWrong) {
    struct Row {
        std::string_view text;
        std::uint32_t line;
        std::uint32_t column;
        std::string_view message;
    };
    const Row rows[] = {
        {"10.0.0.1:80\n  nonsense", 2, 3, "'nonsense' is no address"},
        {"10.0.0.1:80 weight=x", 1, 13, "'x' is no whole number"},
        {"10.0.0.1:80 weight=70000", 1, 13, "weight is above 65535"},
        {"10.0.0.1:80 wight=1", 1, 13, "unknown option 'wight'"},
        {"10.0.0.1:80 10.0.0.2:80", 1, 13, "'10.0.0.2:80' is no option"},
        {"10.0.0.1:80\n10.0.0.1:80", 2, 1, "'10.0.0.1:80' is there twice"},
        {"10.0.0.1:80 name=a\n10.0.0.2:80 name=a", 2, 1, "a second 'a'"},
        {"10.0.0.1:80\n10.0.0.2:80\n10.0.0.3:80", 3, 1, "more than 2 backends"},
        {"[\"10.0.0.1:80\",\n }", 2, 2, "this is no JSON"},
        {"[{\"weight\": 1}]", 0, 0, "backend 1: 'address' is missing"},
        {"[{\"address\": \"a:1\", \"port\": 1}]", 0, 0, "backend 1: unknown option 'port'"},
        {"[{\"address\": \"a:1\", \"weight\": -1}]", 0, 0, "backend 1: 'weight' is no whole"},
        {"{\"backend\": []}", 0, 0, "this is neither a list nor an object"},
    };
    for (const auto& row : rows) {
        const auto read = parse_backend_file(row.text, 2);
        ASSERT_FALSE(read) << row.text;
        const auto& error = read.error().at(0);
        EXPECT_EQ(error.line, row.line) << row.text << error.message;
        EXPECT_EQ(error.column, row.column) << row.text << error.message;
        EXPECT_NE(error.message.find(row.message), std::string::npos) << error.message;
    }
}

TEST(ConfigHealth, PasswordsThatOthersCanRead) {
    const testing::TemporaryDirectory directory;
    const auto path = directory.write("password", "secret\n");
    std::filesystem::permissions(path, std::filesystem::perms(0644));
    const auto severity = [&](std::string_view top) {
        const auto found =
            testing::load(
                valid({}, "health_check = { type = \"redis\", password_file = \"" + path + "\" }",
                      top))
                .diagnostics;
        return found.size() == 1 ? std::string(to_string(found[0].severity)) : format(found);
    };
    EXPECT_EQ(severity({}), "warning");
    EXPECT_EQ(severity("process.strict_permissions = true\n"), "error");
}

}  // namespace
}  // namespace penstock::config
