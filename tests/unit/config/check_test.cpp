#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::config {
namespace {

using testing::load;
using testing::messages;
using testing::short_messages;
using testing::valid;
using Messages = std::vector<std::string>;

std::string listener(std::string_view name, std::string_view bind,
                     std::string_view upstream = "u") {
    return "[[listener]]\nname = \"" + std::string(name) + "\"\nbind = \"" + std::string(bind) +
           "\"\nupstream = \"" + std::string(upstream) + "\"\n";
}

std::string upstream(std::string_view name, std::string_view backend = "\"10.0.0.1:80\"") {
    return "[[upstream]]\nname = \"" + std::string(name) + "\"\nbackend = [" +
           std::string(backend) + "]\n";
}

TEST(ConfigC2, NamesAreUnique) {
    EXPECT_EQ(short_messages(listener("a", ":1") + listener("a", ":2") + upstream("u")),
              (Messages{"6:8 error: a second listener with the name 'a'"}));
    EXPECT_EQ(short_messages(listener("a", ":1") + upstream("u") + upstream("u")),
              (Messages{"9:8 error: a second upstream with the name 'u'"}));
    EXPECT_EQ(
        short_messages(listener("a", ":1") + upstream("u", "\"10.0.0.1:80\", \"10.0.0.1:80\"")),
        (Messages{"7:27 error: a second backend of upstream 'u' with the name '10.0.0.1:80'"}));
    EXPECT_TRUE(load(listener("x", ":1", "x") + upstream("x")).ok()) << "scopes are apart";
}

TEST(ConfigC2, WrongNames) {
    EXPECT_EQ(
        short_messages(listener("a b", ":1") + upstream("u"))[0],
        "2:8 error: 'name' in [[listener]]: 'a b' contains ' '; a name consists of letters A-Z "
        "a-z, digits and ._-");
    EXPECT_FALSE(load(listener("", ":1") + upstream("u")).ok());
    EXPECT_EQ(short_messages(listener("a", ":1") +
                             upstream("u", "{ name = \"a b\", address = \"10.0.0.1:80\" }")),
              (Messages{"7:21 error: 'name' in [[upstream.backend]]: 'a b' contains ' '; a name "
                        "consists of letters A-Z a-z, digits and ._-:[]/@"}));
    EXPECT_EQ(
        short_messages(listener("a", ":1") + upstream("u", "\"unix:/run/my app\"")),
        (Messages{"7:12 error: [[upstream.backend]] needs a 'name': the default, its address, "
                  "contains ' '; a name consists of letters A-Z a-z, digits and ._-:[]/@"}));
}

TEST(ConfigC2, RequiredKeys) {
    EXPECT_EQ(
        short_messages("[[listener]]\nupstream = \"u\"\n[[upstream]]\nbackend = \"10.0.0.1:80\"\n"),
        (Messages{"1:1 error: [[listener]] without 'name'; add name = \"web\"",
                  "1:1 error: [[listener]] without 'bind'; add bind = [\"0.0.0.0:80\", "
                  "\"[::]:80\"]",
                  "3:1 error: [[upstream]] without 'name'; add name = \"web\""}));
    EXPECT_EQ(short_messages(listener("a", ":1") + upstream("u", "{ weight = 2 }")),
              (Messages{"7:12 error: [[upstream.backend]] without 'address'; add address = "
                        "\"10.0.0.1:80\""}));
}

TEST(ConfigC2, WithoutAListener) {
    EXPECT_EQ(short_messages("[process]\nworkers = 1\n").size(), 1U);
    EXPECT_EQ(messages("[process]\nworkers = 1\n"),
              "penstock.toml:1:1: error: there is no [[listener]], so nothing to do; a first "
              "configuration has a [[listener]] (name, bind, upstream) and an [[upstream]] (name, "
              "backend)\n"
              "    1 | [process]\n"
              "      | ^\n");
}

TEST(ConfigC2, InheritedSocketUsedTwice) {
    EXPECT_EQ(short_messages(listener("a", "fd:3") + listener("b", "fd:3") + upstream("u"))[0],
              "7:8 error: the inherited socket fd:3 is used twice");
    const auto result =
        load(listener("a", "systemd:x") + listener("b", "systemd:x") + upstream("u"));
    ASSERT_EQ(result.diagnostics.size(), 1U) << format(result.diagnostics);
    EXPECT_EQ(result.diagnostics[0].related.at(0).message, "by listener 'a' here");
    const auto different = listener("a", "fd:3") + listener("b", "fd:4") +
                           listener("c", "systemd:x") + listener("d", "systemd:y") + upstream("u");
    EXPECT_TRUE(load(different).ok()) << format(load(different).diagnostics);
}

TEST(ConfigC2, UnknownUpstream) {
    EXPECT_EQ(short_messages(listener("a", ":1", "wbe") + upstream("web"))[0],
              "4:12 error: there is no upstream 'wbe'; did you mean 'web'? There are: 'web'");
    EXPECT_EQ(
        short_messages(listener("a", ":1", "web")),
        (Messages{"4:12 error: there is no upstream 'web'; add an [[upstream]] with this name"}));
    std::string many = listener("a", ":1", "web");
    for (int i = 0; i < 12; ++i) many += upstream("number" + std::to_string(i));
    EXPECT_NE(short_messages(many)[0].find("'number9' and 2 more"), std::string::npos);
}

TEST(ConfigC2, EmptyUpstream) {
    EXPECT_EQ(short_messages(listener("a", ":1") + "[[upstream]]\nname = \"u\"\n"),
              (Messages{"5:1 error: upstream 'u' has no backends; add [[upstream.backend]] tables, "
                        "backend = [\"10.0.0.1:80\"], or [[upstream.discovery]]"}));
    EXPECT_EQ(short_messages(listener("a", ":1") + upstream("u", ""))[0].substr(0, 4), "7:11");
}

TEST(ConfigC2, AddressBoundTwice) {
    EXPECT_EQ(messages(listener("a", "10.0.0.1:80") + listener("b", "10.0.0.1:80") +
                       upstream("u", "\"10.0.0.2:80\"")),
              "penstock.toml:7:8: error: the address 10.0.0.1:80 is bound twice\n"
              "    7 | bind = \"10.0.0.1:80\"\n"
              "      |        ^^^^^^^^^^^^^\n"
              "penstock.toml:3:8: note: by listener 'a' here\n"
              "    3 | bind = \"10.0.0.1:80\"\n"
              "      |        ^^^^^^^^^^^^^\n");
}

TEST(ConfigC2, OverlappingAddresses) {
    struct Row {
        std::string_view first, second;
        bool conflict;
    };
    const Row rows[] = {
        {"0.0.0.0:80", "10.0.0.9:80", true},   {"10.0.0.9:80", "0.0.0.0:80", true},
        {"[::]:80", "[::1]:80", true},         {"[0::0:1]:80", "[::1]:80", true},
        {":80", "127.0.0.1:80", true},         {":80", "[::]:80", true},
        {"0.0.0.0:80", "[::]:80", false},      {"0.0.0.0:80", "10.0.0.9:81", false},
        {"10.0.0.8:80", "10.0.0.9:80", false}, {":0", ":0", false},
        {"127.0.0.1:0", "127.0.0.1:0", false}, {"unix:/run/a", "unix:/run/./a", true},
        {"unix:/run/a", "unix:/run/b", false}, {"unix:@a", "unix:/a", false},
        {"unix:@a", "unix:@a", true},
    };
    for (const auto& row : rows) {
        const auto result =
            load(listener("a", row.first) + listener("b", row.second) + upstream("u"));
        EXPECT_EQ(result.ok(), !row.conflict) << row.first << ' ' << row.second << '\n'
                                              << format(result.diagnostics);
    }
}

TEST(ConfigC2, BackendThatIsThisProxyItself) {
    struct Row {
        std::string_view bind, backend;
        bool loop;
    };
    const Row rows[] = {
        {"10.0.0.1:80", "10.0.0.1:80", true},
        {"0.0.0.0:80", "127.0.0.1:80", true},
        {":80", "127.9.9.9:80", true},
        {":80", "[::1]:80", true},
        {"[::]:80", "[::1]:80", true},
        {"unix:/run/a", "unix:/run/a", true},
        {"unix:@a", "unix:@a", true},
        {"10.0.0.1:80", "10.0.0.1:81", false},
        {"0.0.0.0:80", "10.0.0.1:80", false},
        {"0.0.0.0:80", "[::1]:80", false},
        {"127.0.0.1:80", "127.0.0.2:80", false},
    };
    for (const auto& row : rows) {
        const auto result =
            load(listener("a", row.bind) + upstream("u", '"' + std::string(row.backend) + '"'));
        EXPECT_EQ(result.ok(), !row.loop) << row.bind << ' ' << row.backend;
        if (row.loop) {
            ASSERT_EQ(result.diagnostics.size(), 1U);
            EXPECT_NE(result.diagnostics[0].message.find("is this proxy itself"),
                      std::string::npos);
            EXPECT_EQ(result.diagnostics[0].related.at(0).message, "listener 'a' listens there");
        }
    }
}

TEST(ConfigC2, BackoffBaseAboveItsMax) {
    EXPECT_EQ(short_messages(valid({}, "retry_backoff = { base = \"1s\" }")),
              (Messages{"9:17 error: upstream 'app': the base 1s of retry_backoff is above its max "
                        "250ms"}));
}

TEST(ConfigC2, Warnings) {
    const std::pair<std::string, std::string_view> rows[] = {
        {listener("a", ":1") + upstream("u") + upstream("v"),
         "9:8 warning: no listener uses upstream 'v'"},
        {listener("a", ":1", "") + upstream("u"), "4:12 warning: listener 'a' has no upstream"},
        {listener("a", ":1") + upstream("u", "{ address = \"10.0.0.1:80\", weight = 0 }"),
         "7:11 warning: upstream 'u': every backend has weight 0"},
        {listener("a", ":1") + upstream("u", "{ address = \"10.0.0.1:80\", state = \"drain\" }"),
         "7:11 warning: upstream 'u': no backend is in state \"ready\""},
        {listener("a", ":1") +
             upstream("u",
                      "{ address = \"10.0.0.1:80\", state = \"drain\" }, { address = "
                      "\"10.0.0.2:80\", weight = 0 }"),
         "7:11 warning: upstream 'u': no backend is both ready and of a weight above 0"},
        {valid("timeouts.half_closed = \"never\""),
         "5:24 warning: 'half_closed' in [listener.timeouts] is \"never\""},
    };
    for (const auto& [text, expected] : rows) {
        const auto result = load(text);
        EXPECT_TRUE(result.ok()) << format(result.diagnostics);
        const auto all = short_messages(result);
        ASSERT_FALSE(all.empty());
        EXPECT_TRUE(all[0].starts_with(expected)) << all[0];
    }
}

TEST(ConfigDefaults, AreMergedKeyByKey) {
    const auto result = load(
        "[defaults.listener]\nbacklog = 9\nupstream = \"u\"\nkeepalive = { probes = 7 }\n"
        "[defaults.listener.timeouts]\nidle = \"2m\"\nlifetime = \"3h\"\n"
        "[defaults.upstream]\nbalance = \"random\"\n"
        "[[listener]]\nname = \"a\"\nbind = \":1\"\ntimeouts.idle = \"5m\"\n"
        "[[listener]]\nname = \"b\"\nbind = \":2\"\nbacklog = 10\nkeepalive.idle = \"9s\"\n"
        "[[upstream]]\nname = \"u\"\nbackend = \"10.0.0.1:80\"\n");
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    const auto& a = result.config.listeners[0];
    const auto& b = result.config.listeners[1];
    EXPECT_EQ(a.backlog, 9U);
    EXPECT_EQ(b.backlog, 10U);
    EXPECT_EQ(a.upstream, "u");
    EXPECT_EQ(a.timeouts.idle, std::chrono::minutes(5));
    EXPECT_EQ(a.timeouts.lifetime, std::chrono::hours(3));
    EXPECT_EQ(b.timeouts.idle, std::chrono::minutes(2));
    EXPECT_EQ(b.keepalive.probes, 7U);
    EXPECT_EQ(b.keepalive.idle, std::chrono::seconds(9));
    EXPECT_EQ(result.config.upstreams[0].balance, Balance::random);
}

TEST(ConfigDefaults, MayStandBelowWhatTheyApplyTo) {
    const auto result = load(valid() + "[defaults.listener]\nbacklog = 9\n");
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result.config.listeners[0].backlog, 9U);
}

TEST(ConfigDefaults, WhatEveryListenerHasOfItsOwn) {
    EXPECT_EQ(
        short_messages(valid({}, {},
                             "[defaults.listener]\nname = \"x\"\nbind = \":1\"\n"
                             "[defaults.upstream]\nbackend = \"10.0.0.1:80\"\n")),
        (Messages{"2:1 error: 'name' cannot be given in [defaults.listener]: each listener "
                  "needs its own",
                  "3:1 error: 'bind' cannot be given in [defaults.listener]: each listener "
                  "needs its own",
                  "5:1 error: 'backend' cannot be given in [defaults.upstream]: each upstream "
                  "needs its own"}));
}

TEST(ConfigDefaults, ErrorsNameThem) {
    EXPECT_EQ(
        short_messages(valid({}, {},
                             "[defaults.listener.timeouts]\nidel = \"1s\"\n"
                             "[defaults.listner]\n")),
        (Messages{"2:1 error: unknown key 'idel' in [defaults.listener.timeouts]; did you mean "
                  "'idle'?",
                  "3:1 error: unknown table 'listner' in [defaults]; did you mean "
                  "[defaults.listener]?"}));
}

TEST(ConfigCheck, ManyListenersAndBackendsStayFast) {
    std::string text;
    for (int i = 0; i < 5000; ++i)
        text += listener("l" + std::to_string(i), "127.0.0.1:" + std::to_string(10000 + i));
    text += "[[upstream]]\nname = \"u\"\n";
    for (int i = 0; i < 20000; ++i)
        text += "[[upstream.backend]]\naddress = \"10.1." + std::to_string(i / 250) + '.' +
                std::to_string(i % 250 + 1) + ":80\"\n";
    const auto result = load(text);
    EXPECT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config.listeners.size(), 5000U);
    EXPECT_EQ(result.config.upstreams[0].backends.size(), 20000U);
}

}  // namespace
}  // namespace penstock::config
