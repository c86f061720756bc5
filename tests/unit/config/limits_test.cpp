// Limits, admission and splitting of listeners: values, and what they say about each other.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::config {
namespace {

using namespace std::chrono_literals;
using testing::load;
using testing::messages;
using testing::short_messages;
using testing::valid;
using Messages = std::vector<std::string>;

/// Two upstreams `a` and `b` and a listener with these lines; they start on line 4.
std::string two(std::string_view listener, std::string_view top = {}) {
    return std::string(top) + "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\n" +
           std::string(listener) +
           "\n[[upstream]]\nname = \"a\"\nbackend = \"10.0.0.1:80\"\n"
           "[[upstream]]\nname = \"b\"\nbackend = \"10.0.0.2:80\"\n";
}

TEST(ConfigLimits, EveryMemberIsSet) {
    const testing::TemporaryDirectory directory;
    const auto allow = directory.write("allow", "unix\n");
    const auto deny = directory.write("deny", "10.9.0.0/16\n");
    const auto result = load(
        valid("max_connections = 1\nmax_connections_per_source = 2\naccept_rate = \"3/s burst 4\"\n"
              "accept_rate_per_source = \"5/m\"\nsource_prefix = { ipv4 = 24, ipv6 = 56 }\n"
              "limit_exempt = [\"10.0.0.0/8\", \"unix\"]\nallow = \"all\"\n"
              "deny = [\"2001:db8::/32\"]\nallow_file = \"" +
              allow + "\"\ndeny_file = \"" + deny +
              "\"\ndry_run = [\"deny\", \"accept_rate\"]\ndownload_rate = \"1MiB/s\"\n"
              "upload_rate = \"250B/s\"\n"));
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    Listener const expected{
        .name = "web",
        .bind = {*Endpoint::parse("127.0.0.1:8080")},
        .upstream = "app",
        .max_connections = 1,
        .max_connections_per_source = 2,
        .accept_rate = {.amount = 3, .per = 1s, .burst = 4},
        .accept_rate_per_source = {.amount = 5, .per = 1min, .burst = 5},
        .source_prefix = {.ipv4 = 24, .ipv6 = 56},
        .limit_exempt = {.prefixes = {*Prefix::parse("10.0.0.0/8")}, .unix_peers = true},
        .allow = {.all = true},
        .deny = {.prefixes = {*Prefix::parse("2001:db8::/32")}},
        .allow_file = allow,
        .deny_file = deny,
        .dry_run = {.accept_rate = true, .deny = true},
        .download_rate = 1U << 20U,
        .upload_rate = 250};
    EXPECT_EQ(result.config.listeners[0], expected);
}

TEST(ConfigLimits, EveryWordOfDryRun) {
    const auto dry_run = [](std::string_view word) {
        const auto result = load(valid("dry_run = \"" + std::string(word) + "\"\n"));
        EXPECT_TRUE(result.ok()) << format(result.diagnostics);
        return result.config.listeners.at(0).dry_run;
    };
    EXPECT_EQ(dry_run("max_connections"), (DryRun{.max_connections = true}));
    EXPECT_EQ(dry_run("max_connections_per_source"), (DryRun{.max_connections_per_source = true}));
    EXPECT_EQ(dry_run("accept_rate"), (DryRun{.accept_rate = true}));
    EXPECT_EQ(dry_run("accept_rate_per_source"), (DryRun{.accept_rate_per_source = true}));
    EXPECT_EQ(dry_run("allow"), (DryRun{.allow = true}));
    EXPECT_EQ(dry_run("deny"), (DryRun{.deny = true}));
}

TEST(ConfigLimits, WhatStandsWhereAndWhatIsWrong) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"max_connections_per_source = -1",
         "5:30 error: 'max_connections_per_source' in [[listener]] must be from 0 to 1000000000, "
         "not -1"},
        {"max_connections_per_source = 1000000001", "5:30 error: "},
        {"max_connections_per_source = \"5\"", "5:30 error: "},
        {"accept_rate = 100",
         "5:15 error: 'accept_rate' in [[listener]] takes a rate in quotes; this is an integer, "
         "write accept_rate = \"1000/s burst 2000\""},
        {"accept_rate = \"100\"",
         "5:15 error: 'accept_rate' in [[listener]]: '100' has no unit: \"100/s\"?"},
        {"accept_rate_per_source = \"10/m burst\"",
         "5:26 error: 'accept_rate_per_source' in [[listener]]: '10/m burst' goes on with"},
        {"source_prefix.ipv4 = 0",
         "5:22 error: 'ipv4' in [listener.source_prefix] must be from 1 to 32, not 0"},
        {"source_prefix.ipv4 = 33", "5:22 error: "},
        {"source_prefix.ipv6 = 0", "5:22 error: "},
        {"source_prefix.ipv6 = 129",
         "5:22 error: 'ipv6' in [listener.source_prefix] must be from 1 to 128, not 129"},
        {"source_prefix = 24",
         "5:17 error: 'source_prefix' in [[listener]] takes a table; this is an integer, write "
         "source_prefix = { ipv4 = 32, ipv6 = 64 }"},
        {R"(limit_exempt = ["unix", "10.0.0.1/8"])",
         "5:25 error: 'limit_exempt' in [[listener]]: '10.0.0.1/8' is no peer: it has bits set "
         "behind the prefix; the network is 10.0.0.0/8"},
        {"allow = \"10.0.0.1:80\"",
         "5:9 error: 'allow' in [[listener]]: '10.0.0.1:80' has a port; peers are networks: "
         "\"10.0.0.1\""},
        {"deny = [5]", "5:9 error: 'deny' in [[listener]] takes a list of strings; this is"},
        {R"(dry_run = ["deny", "backlog"])",
         "5:20 error: 'dry_run' in [[listener]]: 'backlog' is unknown; there are "
         "\"max_connections\", "},
        {"dry_run = [\"acept_rate\"]",
         "5:12 error: 'dry_run' in [[listener]]: 'acept_rate' is "
         "unknown; did you mean \"accept_rate\"?"},
        {"dry_run = \"deny_file\"",
         "5:11 error: 'dry_run' in [[listener]]: 'deny_file' is "
         "unknown; here it is \"deny\""},
        {"download_rate = \"1MB/s\"",
         "5:17 error: 'download_rate' in [[listener]]: '1MB/s' has the unknown unit 'MB'; did you "
         "mean \"1MiB\"?"},
        {"upload_rate = \"1MiB\"",
         "5:15 error: 'upload_rate' in [[listener]]: '1MiB' says not in which time; write "
         "\"1MiB/s\""},
        {"upload_rate = 5",
         "5:15 error: 'upload_rate' in [[listener]] takes a rate in quotes; this is an integer, "
         "write upload_rate = \"1MiB/s\""},
        {"split_by = \"source\"",
         "5:12 error: 'split_by' in [[listener]]: 'source' is unknown; "
         "here it is \"source_ip\""},
        {"allow_file = 5", "5:14 error: 'allow_file' in [[listener]] takes a string"},
    };
    for (const auto& [line, expected] : rows) {
        const auto result = load(valid(line));
        EXPECT_FALSE(result.ok()) << line;
        EXPECT_TRUE(std::ranges::any_of(
            short_messages(result),
            [&](const std::string& message) { return message.starts_with(expected); }))
            << line << '\n'
            << format(result.diagnostics);
    }
}

TEST(ConfigLimits, TheCaretStandsBelowTheNetwork) {
    EXPECT_EQ(messages(valid("deny = [\"10.0.0.0/8\", \"10.1.2.3/16\"]")),
              "penstock.toml:5:23: error: 'deny' in [[listener]]: '10.1.2.3/16' is no peer: it has "
              "bits set behind the prefix; the network is 10.1.0.0/16\n"
              "    5 | deny = [\"10.0.0.0/8\", \"10.1.2.3/16\"]\n"
              "      |                       ^^^^^^^^^^^^^\n");
}

TEST(ConfigLimits, EmptyTextsAreNoLimit) {
    const auto result =
        load(valid("accept_rate = \"\"\naccept_rate_per_source = \"\"\ndownload_rate = \"\"\n"
                   "upload_rate = \"\"\nallow_file = \"\"\ndeny_file = \"\"\nallow = []\n"));
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config, load(valid()).config);
}

TEST(ConfigLimits, RatesFromTheEnvironment) {
    const auto result =
        load_text(valid("accept_rate = \"${RATE}\"\nmax_connections_per_source = \"${COUNT}\""),
                  "penstock.toml", "/etc/penstock",
                  testing::environment_of({{"RATE", "7/s"}, {"COUNT", "8"}}));
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config.listeners[0].accept_rate.amount, 7U);
    EXPECT_EQ(result.config.listeners[0].max_connections_per_source, 8U);
}

TEST(ConfigLimits, SettingsWithoutEffectAreWarnings) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"limit_exempt = \"unix\"",
         "5:16 warning: 'limit_exempt' has no effect without max_connections_per_source or "
         "accept_rate_per_source"},
        {"source_prefix = { ipv4 = 24 }",
         "5:17 warning: 'source_prefix' has no effect without max_connections_per_source or "
         "accept_rate_per_source"},
        {"on_limit = \"wait\"\naccept_rate_per_source = \"1/s\"",
         "5:12 warning: on_limit = \"wait\" does not apply to limits per source, and the listener "
         "has no other one: clients above them are refused"},
        {"on_limit = \"wait\"\nmax_connections_per_source = 1", "5:12 warning: on_limit"},
        {"dry_run = [\"accept_rate\", \"deny\"]\naccept_rate = \"1/s\"",
         "5:27 warning: 'dry_run' names 'deny', which listener 'web' does not set"},
        {"dry_run = \"max_connections\"", "5:11 warning: 'dry_run' names 'max_connections'"},
        {"dry_run = \"max_connections_per_source\"", "5:11 warning: 'dry_run' names"},
        {"dry_run = \"accept_rate\"", "5:11 warning: 'dry_run' names 'accept_rate', which"},
        {"dry_run = \"accept_rate_per_source\"", "5:11 warning: 'dry_run' names"},
        {"dry_run = \"allow\"", "5:11 warning: 'dry_run' names 'allow'"},
        {"allow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.0/8\"]",
         "5:9 warning: 10.0.0.0/8 stands in 'allow' and in 'deny': it is denied"},
        {"split_by = \"source_ip\"", "5:12 warning: 'split_by' has no effect without 'split'"},
    };
    for (const auto& [lines, expected] : rows) {
        const auto result = load(valid(lines));
        EXPECT_TRUE(result.ok()) << format(result.diagnostics);
        ASSERT_EQ(result.diagnostics.size(), 1U) << lines << '\n' << format(result.diagnostics);
        EXPECT_TRUE(short_messages(result)[0].starts_with(expected)) << short_messages(result)[0];
    }
}

TEST(ConfigLimits, SettingsWithEffectAreNone) {
    for (const auto* lines : {
             "limit_exempt = \"unix\"\nmax_connections_per_source = 1",
             "limit_exempt = \"unix\"\naccept_rate_per_source = \"1/s\"",
             "source_prefix.ipv6 = 48\naccept_rate_per_source = \"1/s\"",
             "on_limit = \"wait\"",
             "on_limit = \"wait\"\naccept_rate = \"1/s\"\naccept_rate_per_source = \"1/s\"",
             "on_limit = \"wait\"\nmax_connections = 9\nmax_connections_per_source = 1",
             "dry_run = [\"allow\", \"deny\"]\nallow = \"unix\"\ndeny = \"all\"",
             "allow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.0/9\"]",
         }) {
        const auto result = load(valid(lines));
        EXPECT_TRUE(result.diagnostics.empty()) << lines << '\n' << format(result.diagnostics);
    }
}

TEST(ConfigLimits, DefaultsForListenersWithoutTheLimitAreNoMistake) {
    const auto result =
        load(valid({}, {},
                   "[defaults.listener]\nlimit_exempt = \"unix\"\ndry_run = \"deny\"\n"
                   "source_prefix.ipv4 = 24\n"));
    EXPECT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_TRUE(result.config.listeners[0].limit_exempt.unix_peers);
    EXPECT_TRUE(result.config.listeners[0].dry_run.deny);
    EXPECT_EQ(result.config.listeners[0].source_prefix, (SourcePrefix{.ipv4 = 24, .ipv6 = 64}));
}

TEST(ConfigPeerFiles, WrongLinesAreShownInTheirFile) {
    const testing::TemporaryDirectory directory;
    directory.write("lists/deny.txt", "# spam\n10.0.0.0/8\n10.1.2.3/16 # no\n");
    const auto path = directory.write("penstock.toml",
                                      valid("deny_file = \"lists/deny.txt\"\ndry_run = \"deny\""));
    const auto result = load_file(path, testing::no_environment());
    EXPECT_EQ(format(result.diagnostics),
              directory.path("lists/deny.txt") +
                  ":3:1: error: '10.1.2.3/16' is no peer: it has bits set behind the prefix; the "
                  "network is 10.1.0.0/16\n"
                  "    3 | 10.1.2.3/16 # no\n"
                  "      | ^^^^^^^^^^^\n");
}

TEST(ConfigPeerFiles, MissingOnesAreErrorsWhereTheyAreNamed) {
    EXPECT_EQ(short_messages(valid("allow_file = \"/no/such/file\"")),
              (Messages{"5:14 error: 'allow_file' in [[listener]]: /no/such/file there is no such "
                        "file"}));
    EXPECT_EQ(short_messages(valid("deny_file = \"/\"")),
              (Messages{"5:13 error: 'deny_file' in [[listener]]: / is a directory, not a file"}));
}

TEST(ConfigPeerFiles, OneWithoutAPeerIsAWarning) {
    const testing::TemporaryDirectory directory;
    const auto file = directory.write("allow", "# nobody yet\n");
    EXPECT_EQ(short_messages(valid("allow_file = \"" + file + '"')),
              (Messages{"5:14 warning: 'allow_file' in [[listener]]: " + file + " names no peer"}));
}

TEST(ConfigPeerFiles, OneOfManyListenersIsReadAndReportedOnce) {
    const testing::TemporaryDirectory directory;
    const auto file = directory.write("deny", "x\n");
    std::string text = "[defaults.listener]\nupstream = \"a\"\ndeny_file = \"" + file + "\"\n";
    for (int i = 0; i < 5; ++i)
        text += "[[listener]]\nname = \"l" + std::to_string(i) +
                "\"\nbind = \":" + std::to_string(9000 + i) + "\"\n";
    text += "[[upstream]]\nname = \"a\"\nbackend = \"10.0.0.1:80\"\n";
    EXPECT_EQ(load(text).diagnostics.size(), 1U) << messages(text);
}

TEST(ConfigSplit, EveryForm) {
    const std::vector<SplitPart> uneven{{.upstream = "a", .weight = 95},
                                        {.upstream = "b", .weight = 5}};
    const std::vector<SplitPart> even{{.upstream = "a", .weight = 1},
                                      {.upstream = "b", .weight = 1}};
    const std::pair<std::string_view, const std::vector<SplitPart>&> rows[] = {
        {R"(split = [{ upstream = "a", weight = 95 }, { upstream = "b", weight = 5 }])", uneven},
        {"[[listener.split]]\nupstream = \"a\"\nweight = 95\n"
         "[[listener.split]]\nupstream = \"b\"\nweight = 5",
         uneven},
        {R"(split = [{ upstream = "a" }, { upstream = "b" }])", even},
        {R"(split = ["a", "b"])", even},
        {"split = [\"a\", \"b\"]\nupstream = \"\"", even},
    };
    for (const auto& [lines, expected] : rows) {
        const auto result = load(two(lines));
        ASSERT_TRUE(result.diagnostics.empty()) << lines << '\n' << format(result.diagnostics);
        EXPECT_EQ(result.config.listeners[0].split, expected) << lines;
        EXPECT_EQ(result.config.listeners[0].upstream, "");
    }
    const auto by = load(two("split = [\"a\", \"b\"]\nsplit_by = \"source_ip\""));
    EXPECT_TRUE(by.diagnostics.empty()) << format(by.diagnostics);
    EXPECT_EQ(by.config.listeners[0].split_by, SplitBy::source_ip);
}

TEST(ConfigSplit, WhatIsWrong) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"split = [\"a\", \"b\"]\nupstream = \"a\"",
         "5:12 error: 'upstream' and 'split' exclude each other: keep one of them"},
        {R"(split = ["a", { upstream = "c", weight = 5 }, "b"])",
         "4:28 error: there is no upstream 'c'. There are: 'a', 'b'"},
        {R"(split = [{ upstream = "a" }, "b", { upstream = "a" }])",
         "4:48 error: upstream 'a' is twice in 'split'; add up its weights"},
        {R"(split = [{ upstream = "a", weight = 0 }, { upstream = "b", weight = 0 }])",
         "4:9 error: every weight in 'split' is 0, so nobody could be served"},
        {R"(split = [{ upstream = "a", weight = 65536 }, "b"])",
         "4:37 error: 'weight' in [[listener.split]] must be from 0 to 65535, not 65536"},
        {R"(split = [{ upstream = "a", weight = -1 }, "b"])",
         "4:37 error: 'weight' in [[listener.split]] must be from 0 to 65535, not -1"},
        {R"(split = [{ upstream = "a", weight = "1" }, "b"])",
         "4:37 error: 'weight' in [[listener.split]] takes an integer; this is a string"},
        {R"(split = [{ weight = 1 }, "a", "b"])",
         "4:10 error: [[listener.split]] without 'upstream'; add upstream = \"v1\""},
        {R"(split = [{ upstream = "" }, "a", "b"])",
         "4:23 error: 'upstream' in [[listener.split]]: '' is empty"},
        {R"(split = [{ cluster = "a" }, "b"])", "4:10 error: [[listener.split]] without"},
        {"split = [\"a\", \"b\"]\n[listener.split]\n", "5:"},
        {"[listener.split]\nupstream = \"a\"",
         "4:1 error: [listener.split] must be written [[listener.split]]: there can be several"},
    };
    for (const auto& [lines, expected] : rows) {
        const auto all = short_messages(two(lines));
        ASSERT_FALSE(all.empty()) << lines;
        EXPECT_TRUE(all[0].starts_with(expected)) << lines << '\n' << all[0];
    }
}

TEST(ConfigSplit, BothPlacesAreShown) {
    EXPECT_EQ(messages(two("split = [\"a\", \"b\"]\nupstream = \"a\"")),
              "penstock.toml:5:12: error: 'upstream' and 'split' exclude each other: keep one of "
              "them\n"
              "    5 | upstream = \"a\"\n"
              "      |            ^^^\n"
              "penstock.toml:4:9: note: 'split' is here\n"
              "    4 | split = [\"a\", \"b\"]\n"
              "      |         ^^^^^^^^^^\n");
}

TEST(ConfigSplit, OfTheListenerItselfWinsOverTheDefaults) {
    const auto own_split =
        load(two(R"(split = ["a", "b"])", "[defaults.listener]\nupstream = \"a\"\n"));
    EXPECT_TRUE(own_split.diagnostics.empty()) << format(own_split.diagnostics);
    EXPECT_EQ(own_split.config.listeners[0].upstream, "");
    EXPECT_EQ(own_split.config.listeners[0].split.size(), 2U);

    const std::string_view split_for_all = "[defaults.listener]\nsplit = [\"a\", \"b\"]\n";
    const auto own_upstream = load(two("upstream = \"a\"", split_for_all));
    EXPECT_EQ(own_upstream.config.listeners[0].upstream, "a");
    EXPECT_TRUE(own_upstream.config.listeners[0].split.empty());

    const auto neither = load(two("", split_for_all));
    EXPECT_TRUE(neither.diagnostics.empty()) << format(neither.diagnostics);
    EXPECT_EQ(neither.config.listeners[0].split.size(), 2U);

    const auto replaced = load(two("split = [{ upstream = \"b\", weight = 3 }]", split_for_all));
    EXPECT_EQ(replaced.config.listeners[0].split,
              (std::vector<SplitPart>{{.upstream = "b", .weight = 3}}));

    const auto none = load(two("split = []", "[defaults.listener]\nupstream = \"a\"\n"));
    EXPECT_EQ(none.config.listeners[0].upstream, "a");

    const auto headed = load(
        two("[[listener.split]]\nupstream = \"b\"", "[defaults.listener]\nupstream = \"a\"\n"));
    EXPECT_EQ(headed.config.listeners[0].upstream, "");
    EXPECT_EQ(headed.config.listeners[0].split.size(), 1U);
}

TEST(ConfigSplit, MistakesOfTheDefaultsAreReportedThereAndOnce) {
    std::string const text =
        "[defaults.listener]\nsplit = [\"a\", \"c\"]\nupstream = \"a\"\n"
        "[[listener]]\nname = \"x\"\nbind = \":1\"\n[[listener]]\nname = \"y\"\nbind = \":2\"\n"
        "[[upstream]]\nname = \"a\"\nbackend = \"10.0.0.1:80\"\n";
    EXPECT_EQ(
        short_messages(text),
        (Messages{"2:15 error: there is no upstream 'c'. There are: 'a'",
                  "3:12 error: 'upstream' and 'split' exclude each other: keep one of them"}));
}

}  // namespace
}  // namespace penstock::config
