#include "config/value.hpp"

#include <array>
#include <limits>

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::config {
namespace {

using namespace std::chrono_literals;
using testing::load;
using testing::messages;
using testing::valid;

TEST(ConfigValue, Durations) {
    EXPECT_EQ(parse_duration("250ms"), Duration(250ms));
    EXPECT_EQ(parse_duration("5s"), Duration(5s));
    EXPECT_EQ(parse_duration("10m"), Duration(10min));
    EXPECT_EQ(parse_duration("1h"), Duration(1h));
    EXPECT_EQ(parse_duration("0s"), Duration(0));
    EXPECT_EQ(parse_duration("0005s"), Duration(5s));
    EXPECT_EQ(parse_duration("87600h"), longest_duration);
}

TEST(ConfigValue, DurationErrorsSayWhatToWrite) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"", "is no duration"},
        {"s", "is no duration"},
        {"soon", "is no duration"},
        {" 5s", "is no duration"},
        {"5", "has no unit: \"5s\"?"},
        {"-1s", "is negative"},
        {"1.5s", "is not a whole number"},
        {"5 s", "has the unknown unit ' s'"},
        {"5S", "has the unknown unit 'S'"},
        {"5sec", "has the unknown unit 'sec'"},
        {"1d", "\"24h\" is a day"},
        {"10us", "is finer than a millisecond"},
        {"1m30s", "takes one number and one unit"},
        {"1e18s", "takes one number and one unit"},
    };
    for (const auto& [text, expected] : rows) {
        const auto result = parse_duration(text);
        ASSERT_FALSE(result) << text;
        EXPECT_NE(result.error().find(expected), std::string::npos)
            << text << ": " << result.error();
    }
}

TEST(ConfigC3, OverlongDurationsAreErrorsAndNeverWrap) {
    for (const auto* text :
         {"87601h", "99999999999h", "1000000000000000000s", "9223372036854775807ms",
          "9223372036854775808ms", "18446744073709551616s", "99999999999999999999999999999999h"}) {
        const auto result = parse_duration(text);
        ASSERT_FALSE(result) << text;
        EXPECT_EQ(result.error(), "is longer than 87600h, ten years") << text;
    }
}

TEST(ConfigValue, DurationsPrintShort) {
    EXPECT_EQ(format_duration(4s), "4s");
    EXPECT_EQ(format_duration(4000ms), "4s");
    EXPECT_EQ(format_duration(1500ms), "1500ms");
    EXPECT_EQ(format_duration(90s), "90s");
    EXPECT_EQ(format_duration(48h), "48h");
    EXPECT_EQ(format_duration(0ms), "0s");
    EXPECT_EQ(format_duration(never), "never");
}

TEST(ConfigValue, Names) {
    EXPECT_TRUE(check_name("Web-1.example_x"));
    EXPECT_TRUE(check_name(std::string(64, 'a')));
    EXPECT_EQ(check_name(std::string(65, 'a')).error(), "is longer than 64 characters (65)");
    EXPECT_EQ(check_name("").error(), "is empty");
    EXPECT_EQ(check_name("a b").error(),
              "contains ' '; a name consists of letters A-Z a-z, digits and ._-");
    EXPECT_FALSE(check_name("a/b"));
    EXPECT_FALSE(check_name("\xC3\xA4"));
    EXPECT_TRUE(check_backend_name("web@[2001:db8::1]:80/x"));
    EXPECT_TRUE(check_backend_name(std::string(255, 'a')));
    EXPECT_FALSE(check_backend_name(std::string(256, 'a')));
}

struct Row {
    std::string listener;
    std::string upstream;
    std::string_view expected;  // part of the one message
};

class ConfigValueError : public ::testing::TestWithParam<Row> {};

TEST_P(ConfigValueError, IsTheOnlyFinding) {
    const auto result = load(valid(GetParam().listener, GetParam().upstream));
    ASSERT_EQ(result.diagnostics.size(), 1U) << format(result.diagnostics);
    EXPECT_FALSE(result.ok());
    EXPECT_NE(result.diagnostics[0].message.find(GetParam().expected), std::string::npos)
        << result.diagnostics[0].message;
    EXPECT_EQ(result.diagnostics[0].line, GetParam().listener.empty() ? 9U : 5U);
}

INSTANTIATE_TEST_SUITE_P(
    ConfigC3, ConfigValueError,
    ::testing::Values(
        Row{"backlog = 0", "", "must be from 1 to 2147483647, not 0"},
        Row{"backlog = 2147483648", "", "not 2147483648"},
        Row{"backlog = 9223372036854775807", "", "not 9223372036854775807"},
        Row{"backlog = -9223372036854775808", "", "not -9223372036854775808"},
        Row{"backlog = 1e18", "", "takes an integer; this is a number"},
        Row{"backlog = \"5\"", "", "takes an integer; this is a string"},
        Row{"backlog = true", "", "this is a boolean"},
        Row{"backlog = 1979-05-27", "", "this is a date or time"},
        Row{"backlog = [1]", "", "this is a list"},
        Row{"backlog = { a = 1 }", "", "this is a table"},
        Row{"max_connections = -1", "", "must be from 0 to 1000000000, not -1"},
        Row{"peer_timeout = \"0s\"", "", "is out of range: at least 1ms; write \"never\""},
        Row{"peer_timeout = \"off\"", "", "did you mean \"never\"?"},
        Row{"timeouts.lifetime_jitter = 1.01", "", "must be from 0 to 1, not 1.01"},
        Row{"timeouts.lifetime_jitter = -1", "", "must be from 0 to 1, not -1"},
        Row{"timeouts.lifetime_jitter = nan", "", "must be from 0 to 1"},
        Row{"timeouts.lifetime_jitter = inf", "", "must be from 0 to 1"},
        Row{"timeouts.lifetime_jitter = \"0.1\"", "", "a number from 0 to 1; this is a string"},
        Row{"timeouts.idle = 30", "",
            "takes a duration in quotes; this is an integer, write idle = \"30s\""},
        Row{"keepalive.probes = 128", "", "must be from 1 to 127, not 128"},
        Row{"keepalive.idle = \"1500ms\"", "", "is no whole number of seconds"},
        Row{"keepalive.idle = \"10h\"", "", "is out of range: from 1s to 32767s"},
        Row{"keepalive = 5", "", "takes a table; this is an integer"},
        Row{"on_limit = \"wat\"", "", "did you mean \"wait\"?"},
        Row{"refuse_with = 1", "", "takes a word in quotes"},
        Row{"", "connect_timeout = \"0ms\"", "is out of range: at least 1ms"},
        Row{"", "connect_timeout = \"-4s\"", "is negative"},
        Row{"", "connect_timeout = \"never\"", "is not allowed here"},
        Row{"", "connect_timeout = \"1d\"", "\"24h\" is a day"},
        Row{"", "connect_timeout = \"99999999999h\"", "ten years"},
        Row{"", "attempts = 0", "must be from 1 to 1000, not 0"},
        Row{"", "attempts = 4294967297", "not 4294967297"},
        Row{"client_hello_max = 16384", "", "takes a size in quotes; this is an integer"},
        Row{"client_hello_max = \"16K\"", "", "did you mean \"16KiB\"?"},
        Row{"client_hello_max = \"1B\"", "", "is out of range: from 1KiB to 64KiB"},
        Row{"client_hello_max = \"auto\"", "", "is no size"},
        Row{"", "no_backend = \"wait\"",
            "'wait' is unknown; here it is \"hold\"; there are \"reset\", \"close\", \"hold\""},
        Row{"", "balance = \"leastconn\"", "here it is \"least_connections\""},
        Row{"", "balance = \"source\"", "here it is \"maglev\"; there are"},
        Row{"", "balance = \"round-robin\"", "did you mean \"round_robin\"?"}));

std::string backends(std::string_view backend) {
    return "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n"
           "[[upstream]]\nname = \"app\"\nbackend = [" +
           std::string(backend) + "]\n";
}

TEST(ConfigC3, BackendNumbers) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"weight = -1", "must be from 0 to 65535, not -1"},
        {"weight = 65536", "must be from 0 to 65535, not 65536"},
        {"weight = 4294967296", "not 4294967296"},
        {"tier = 65536", "must be from 0 to 65535"},
        {"weight = 1.0", "takes an integer; this is a number"},
    };
    for (const auto& [key, expected] : rows) {
        const auto text = messages(
            backends("{ address = \"10.0.0.1:80\", " + std::string(key) + " }, \"10.0.0.2:80\""));
        EXPECT_NE(text.find(expected), std::string::npos) << key << '\n' << text;
    }
    EXPECT_TRUE(load(backends("{ address = \"10.0.0.1:80\", weight = 65535, tier = 65535 }")).ok());
}

TEST(ConfigC2, BackendAddresses) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"10.0.0.1:0", "has port 0"},
        {"10.0.0.1:65536", "the port is above 65535"},
        {"10.0.0.1", "the port is missing"},
        {"10.0.0.256:80", "'10.0.0.256' is not an IP address"},
        {"10.0.0.1/33:80", "is no address"},
        {"::1:80", "brackets"},
        {"", "is no address"},
        {":80", "the address before ':' is missing"},
        {"0.0.0.0:80", "means all addresses of this machine"},
        {"[::]:80", "means all addresses of this machine"},
        {"http://10.0.0.1:80", "is a URL"},
        {"/run/app.sock", "write \"unix:/run/app.sock\""},
        {"app.internal:0", "has port 0; a backend needs its real port"},
        {"app_.internal", "is no address"},
        {"unix:", "the path of the unix socket is empty"},
        {"8080", "is a port alone"},
    };
    for (const auto& [address, expected] : rows) {
        const auto text = messages(backends('"' + std::string(address) + '"'));
        EXPECT_NE(text.find("penstock.toml:7:12: error: 'address' in [[upstream.backend]]: "),
                  std::string::npos)
            << text;
        EXPECT_NE(text.find(expected), std::string::npos) << address << '\n' << text;
    }
    const auto overlong = messages(backends("\"unix:/" + std::string(200, 'x') + '"'));
    EXPECT_NE(overlong.find("longer than 107 bytes"), std::string::npos) << overlong;
}

TEST(ConfigC2, BindAddresses) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"\"fd:\"", "has no number of a descriptor after fd:"},
        {"\"fd:-3\"", "has no number of a descriptor after fd:"},
        {"\"fd:03\"", "has no number of a descriptor after fd:"},
        {"\"fd:99999999999\"", "has no number of a descriptor after fd:"},
        {"\"fd:2\"", "is standard input, output or error; inherited sockets begin with \"fd:3\""},
        {"\"fd:1024\"", "is too high a number; the last is \"fd:1023\""},
        {"\"systemd:\"", "has no name after systemd:"},
        {"\"systemd:a:b\"", "has a name that systemd cannot give"},
        {"\"systemd:\u00e4\"", "has a name that systemd cannot give"},
        {"\"systemd:a\\tb\"", "has a name that systemd cannot give"},
        {"\"localhost:80\"", "is a host name; a listener takes an address of this machine"},
        {"\"*:80\"", "write \":80\" for all addresses"},
        {"\"80\"", "write \":80\" to listen on all addresses"},
        {"80", "takes an address in quotes, or a list of them; this is an integer"},
        {"\":65536\"", "the port is above 65535"},
        {"[]", R"(is empty; write bind = ["0.0.0.0:80", "[::]:80"])"},
        {"[\":1\", 2]", "this is an integer"},
    };
    for (const auto& [bind, expected] : rows) {
        const auto text = messages(
            "[[listener]]\nname = \"web\"\nupstream = \"app\"\nbind = " + std::string(bind) +
            "\n[[upstream]]\nname = \"app\"\nbackend = \"10.0.0.1:80\"\n");
        EXPECT_NE(text.find("penstock.toml:4:"), std::string::npos) << text;
        EXPECT_NE(text.find(expected), std::string::npos) << bind << '\n' << text;
    }
}

TEST(ConfigC2, NameOfAnInheritedSocketHasABound) {
    const auto with = [](std::size_t length) {
        return load("[[listener]]\nname = \"web\"\nupstream = \"\"\nbind = \"systemd:" +
                    std::string(length, 'x') + "\"\n");
    };
    EXPECT_TRUE(with(255).ok()) << format(with(255).diagnostics);
    EXPECT_NE(format(with(256).diagnostics).find("has a name longer than 255 bytes"),
              std::string::npos);
}

TEST(ConfigValue, InheritedSocketsStandBesideAddresses) {
    const auto result = load(
        "[[listener]]\nname = \"web\"\nupstream = \"\"\n"
        "bind = [\"fd:3\", \"127.0.0.1:81\", \"systemd:web.socket\", \"fd:1023\"]\n");
    ASSERT_TRUE(result.ok()) << format(result.diagnostics);
    const auto& bind = result.config.listeners[0].bind;
    ASSERT_EQ(bind.size(), 4U);
    EXPECT_EQ(bind[0].fd, 3);
    EXPECT_TRUE(bind[0].inherited());
    EXPECT_EQ(bind[0].address, Endpoint{});
    EXPECT_FALSE(bind[1].inherited());
    EXPECT_EQ(bind[1].address.port(), 81);
    EXPECT_EQ(bind[2].systemd, "web.socket");
    EXPECT_TRUE(bind[2].inherited());
    EXPECT_EQ(bind[3].fd, 1023);
}

TEST(ConfigValue, AdminApiTakesNoInheritedSocket) {
    EXPECT_NE(messages("[[admin.listener]]\nbind = \"fd:3\"\n" + testing::valid())
                  .find("is an inherited socket, which only 'bind' in [[listener]] takes"),
              std::string::npos);
}

TEST(ConfigValue, EveryFormOfBind) {
    const auto result = load(
        "[[listener]]\nname = \"web\"\nupstream = \"app\"\n"
        "bind = [\":0\", \"127.0.0.1:81\", \"[::1]:82\", \"unix:run/web.sock\", \"unix:@web\"]\n"
        "[[upstream]]\nname = \"app\"\nbackend = \"unix:app.sock\"\n");
    ASSERT_TRUE(result.ok()) << format(result.diagnostics);
    std::vector<std::string> texts;
    for (const auto& endpoint : result.config.listeners[0].bind)
        texts.push_back(endpoint.to_string());
    EXPECT_EQ(texts, (std::vector<std::string>{"0.0.0.0:0", "[::]:0", "127.0.0.1:81", "[::1]:82",
                                               "unix:/etc/penstock/run/web.sock", "unix:@web"}));
    const auto& backend = result.config.upstreams[0].backends[0];
    EXPECT_EQ(backend.address.path(), "/etc/penstock/app.sock");
    EXPECT_EQ(backend.name, "unix:app.sock") << "as written";
}

TEST(ConfigValue, BackendForms) {
    const auto result = load(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\nupstream = \"a\"\n"
        "[[listener]]\nname = \"web2\"\nbind = \"127.0.0.1:8081\"\nupstream = \"b\"\n"
        "[[upstream]]\nname = \"a\"\n"
        "backend = [\"10.0.0.1:80\", { address = \"10.0.0.2:80\", weight = 2, state = \"drain\" "
        "}]\n"
        "[[upstream]]\nname = \"b\"\n"
        "[[upstream.backend]]\nname = \"x\"\naddress = \"10.0.0.1:80\"\n"
        "[[upstream.backend]]\naddress = \"[::1]:80\"\ntier = 1\n");
    ASSERT_TRUE(result.ok()) << format(result.diagnostics);
    const auto& a = result.config.upstreams[0].backends;
    const auto& b = result.config.upstreams[1].backends;
    ASSERT_EQ(a.size(), 2U);
    ASSERT_EQ(b.size(), 2U);
    EXPECT_EQ(a[0], (Backend{.name = "10.0.0.1:80", .address = *Endpoint::parse("10.0.0.1:80")}));
    EXPECT_EQ(a[1], (Backend{.name = "10.0.0.2:80",
                             .address = *Endpoint::parse("10.0.0.2:80"),
                             .weight = 2,
                             .state = BackendState::drain}));
    EXPECT_EQ(b[0].name, "x");
    EXPECT_EQ(b[1],
              (Backend{.name = "[::1]:80", .address = *Endpoint::parse("[::1]:80"), .tier = 1}));
}

TEST(ConfigValue, EveryMemberIsSet) {
    const auto result = load(
        "[process]\nworkers = 3\nmax_connections = 1000\nuser = \"nobody\"\ngroup = \"nogroup\"\n"
        "drain = { wait = \"1m\", close_over = \"2s\" }\nshutdown_delay = \"3s\"\n"
        "[log]\nlevel = \"debug\"\nformat = \"json\"\ntarget = \"log/p.log\"\n"
        "[access_log]\ntarget = \"stdout\"\nformat = \"text\"\nevents = \"open\"\n"
        "skip_empty = true\nflush_interval = \"2s\"\n"
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:80\"\nupstream = \"app\"\nbacklog = 7\n"
        "max_connections = 8\non_limit = \"wait\"\nrefuse_with = \"close\"\n"
        "peer_timeout = \"never\"\nkeepalive = { idle = \"1s\", interval = \"2s\", probes = 3 }\n"
        "[listener.timeouts]\nidle = \"4s\"\nhalf_closed = \"5s\"\nlifetime = \"6s\"\n"
        "lifetime_jitter = 1\n"
        "[[upstream]]\nname = \"app\"\nbalance = \"random\"\nconnect_timeout = \"7s\"\n"
        "attempts = 8\nretry_backoff = { base = \"9ms\", max = \"10ms\" }\nno_backend = \"close\"\n"
        "keepalive = { idle = \"11s\", interval = \"12s\", probes = 13 }\n"
        "backend = [{ name = \"b\", address = \"10.0.0.1:80\", weight = 14, tier = 15, "
        "state = \"maintenance\" }, \"10.0.0.2:80\"]\n");
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    Config expected;
    expected.process = Process{.workers = 3,
                               .max_connections = 1000,
                               .drain = {1min, 2s},
                               .shutdown_delay = 3s,
                               .user = "nobody",
                               .group = "nogroup"};
    expected.log = {LogLevel::debug, LogFormat::json, "/etc/penstock/log/p.log"};
    expected.access_log = {"stdout", LogFormat::text, true, false, true, 2s};
    expected.listeners.push_back(Listener{
        .name = "web",
        .bind = {*Endpoint::parse("127.0.0.1:80")},
        .upstream = "app",
        .backlog = 7,
        .max_connections = 8,
        .on_limit = OnLimit::wait,
        .refuse_with = RefuseWith::close,
        .peer_timeout = never,
        .keepalive = {1s, 2s, 3},
        .timeouts = {.idle = 4s, .half_closed = 5s, .lifetime = 6s, .lifetime_jitter = 1.0}});
    expected.upstreams.push_back(Upstream{.name = "app",
                                          .balance = Balance::random,
                                          .connect_timeout = 7s,
                                          .attempts = 8,
                                          .retry_backoff = {9ms, 10ms},
                                          .no_backend = NoBackend::close,
                                          .keepalive = {11s, 12s, 13}});
    expected.upstreams[0].backends = {
        {.name = "b",
         .address = *Endpoint::parse("10.0.0.1:80"),
         .weight = 14,
         .tier = 15,
         .state = BackendState::maintenance},
        {.name = "10.0.0.2:80", .address = *Endpoint::parse("10.0.0.2:80")}};
    expected.admin.listeners.emplace_back();
    EXPECT_EQ(result.config, expected);
}

TEST(ConfigValue, Defaults) {
    const auto result = load(valid());
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    Config expected;
    expected.listeners.push_back({});
    expected.listeners[0].name = "web";
    expected.listeners[0].bind = {*Endpoint::parse("127.0.0.1:8080")};
    expected.listeners[0].upstream = "app";
    expected.upstreams.push_back({});
    expected.upstreams[0].name = "app";
    expected.upstreams[0].backends = {
        {.name = "10.0.0.1:80", .address = *Endpoint::parse("10.0.0.1:80")}};
    expected.admin.listeners.emplace_back();
    EXPECT_EQ(result.config, expected);
}

TEST(ConfigValue, LogTargets) {
    const auto error = [](std::string_view line) {
        return messages(valid({}, {}, std::string(line) + "\n"));
    };
    EXPECT_NE(error("log.target = \"stdrr\"").find("did you mean \"stderr\"?"), std::string::npos);
    EXPECT_NE(error("log.target = \"syslog\"").find("is none of"), std::string::npos);
    EXPECT_NE(error("log.target = \"\"").find("is no file"), std::string::npos);
    EXPECT_NE(error("access_log.target = \"stderr\"").find("is none of"), std::string::npos);
    EXPECT_EQ(load(valid({}, {}, "log.target = \"./stdrr\"\n")).config.log.target,
              "/etc/penstock/stdrr");
    EXPECT_EQ(load(valid({}, {}, "log.target = \"/var/log/p\"\n")).config.log.target, "/var/log/p");
}

TEST(ConfigValue, AccessLogEvents) {
    const auto of = [](std::string_view lines) {
        return load(valid({}, {}, "[access_log]\n" + std::string(lines) + "\n"));
    };
    const auto both = of("target = \"stdout\"\nevents = [\"open\", \"close\"]").config.access_log;
    EXPECT_TRUE(both.on_open && both.on_close);
    EXPECT_TRUE(of("events = []").ok()) << "off anyway";
    EXPECT_EQ(
        testing::short_messages(of("target = \"stdout\"\nevents = []")),
        (std::vector<std::string>{
            "3:10 error: 'events' in [access_log] is empty: nothing would be written; to switch "
            "the log off, write target = \"off\""}));
    EXPECT_EQ(
        testing::short_messages(of("events = [\"close\", \"close\"]")),
        (std::vector<std::string>{"2:20 error: 'events' in [access_log]: 'close' is there twice"}));
    EXPECT_FALSE(of("events = [\"opened\"]").ok());
}

}  // namespace
}  // namespace penstock::config
