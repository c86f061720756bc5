// Balancing, queue, hold, pool, slow start and defaults of an upstream: values, and what they say
// about each other.
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

TEST(ConfigUpstream, EveryMemberIsSet) {
    const auto result = load(
        valid({},
              "balance = \"ring_hash\"\nhash_key = \"source_ip_port\"\nbounded_load = 1.25\n"
              "retry_budget = 0.5\nmax_connections = 1000\nmax_connecting_per_backend = 2\n"
              "spill_when_full = true\ntier_join_below = 0.75\nno_backend = \"hold\"\n"
              "hold = { timeout = \"3s\", max_length = 4 }\nsource_address = \"10.0.0.5\"\n"
              "backend_defaults = { weight = 5, tier = 6, max_connections = 700 }\n"
              "[upstream.queue]\nmax_length = 8\ntimeout = \"9s\"\npolicy = \"adaptive_lifo\"\n"
              "[upstream.pool]\nmin_idle = 10\nmax_idle = 11\nmax_age = \"12s\"\n"
              "[upstream.slow_start]\nwindow = \"13s\"\nmin_weight = 0.25\naggression = 1.5\n",
              "process.hash_seed = 9223372036854775807\n"));
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config.process.hash_seed, 9223372036854775807U);
    const Upstream expected{
        .name = "app",
        .balance = Balance::ring_hash,
        .hash_key = HashKey::source_ip_port,
        .bounded_load = 1.25,
        .retry_budget = 0.5,
        .max_connections = 1000,
        .max_connecting_per_backend = 2,
        .spill_when_full = true,
        .tier_join_below = 0.75,
        .panic_threshold = 0,  // better to hold than to use those that fail
        .no_backend = NoBackend::hold,
        .hold = {.timeout = 3s, .max_length = 4},
        .source_address = {*Endpoint::parse("10.0.0.5:0")},
        .queue = {.max_length = 8, .timeout = 9s, .policy = QueueOrder::adaptive_lifo},
        .pool = {.min_idle = 10, .max_idle = 11, .max_age = 12s},
        .slow_start = {.window = 13s, .min_weight = 0.25, .aggression = 1.5},
        .backend_defaults = {.weight = 5, .tier = 6, .max_connections = 700},
        .backends = {{.name = "10.0.0.1:80",
                      .address = *Endpoint::parse("10.0.0.1:80"),
                      .weight = 5,
                      .tier = 6,
                      .max_connections = 700}}};
    EXPECT_EQ(result.config.upstreams[0], expected);
}

TEST(ConfigUpstream, EveryPolicy) {
    const std::pair<std::string_view, Balance> rows[] = {
        {"round_robin", Balance::round_robin},
        {"least_connections", Balance::least_connections},
        {"p2c", Balance::p2c},
        {"random", Balance::random},
        {"least_latency", Balance::least_latency},
        {"maglev", Balance::maglev},
        {"ring_hash", Balance::ring_hash},
        {"first", Balance::first},
    };
    for (const auto& [word, balance] : rows) {
        const auto result = load(valid({}, "balance = \"" + std::string(word) + '"'));
        ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
        EXPECT_EQ(result.config.upstreams[0].balance, balance) << word;
    }
}

TEST(ConfigUpstream, WhatIsOutOfRange) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"bounded_load = 0.99",
         "9:16 error: 'bounded_load' in [[upstream]] must be 0 (off), or at least 1 and at most "
         "1000, not 0.99"},
        {"bounded_load = -1", "9:16 error: "},
        {"bounded_load = 1001", "9:16 error: "},
        {"bounded_load = nan", "9:16 error: "},
        {"bounded_load = inf", "9:16 error: "},
        {"bounded_load = \"125%\"",
         "9:16 error: 'bounded_load' in [[upstream]] takes a number; this is a string, write "
         "bounded_load = 1.25"},
        {"retry_budget = 1.1", "9:16 error: 'retry_budget' in [[upstream]] must be from 0 to 1"},
        {"retry_budget = -0.1", "9:16 error: "},
        {"max_connections = -1", "9:19 error: "},
        {"max_connections = 1000000001",
         "9:19 error: 'max_connections' in [[upstream]] must be from 0 to 1000000000, not "
         "1000000001"},
        {"max_connecting_per_backend = -1", "9:30 error: "},
        {"max_connecting_per_backend = 1000000001", "9:30 error: "},
        {"spill_when_full = 1",
         "9:19 error: 'spill_when_full' in [[upstream]] takes true or false"},
        {"tier_join_below = 2",
         "9:19 error: 'tier_join_below' in [[upstream]] must be from 0 to 1"},
        {"hold.timeout = \"0s\"",
         "9:16 error: 'timeout' in [upstream.hold]: '0s' is out of range: at least 1ms"},
        {"hold.timeout = \"never\"", "9:16 error: 'timeout' in [upstream.hold]: 'never' is not"},
        {"hold.max_length = 0",
         "9:19 error: 'max_length' in [upstream.hold] must be from 1 to 1000000000, not 0"},
        {"hold.max_length = 1000000001", "9:19 error: "},
        {"queue.max_length = -1", "9:20 error: 'max_length' in [upstream.queue] must be from 0"},
        {"queue.max_length = 1000000001", "9:20 error: "},
        {"queue.timeout = \"0ms\"",
         "9:17 error: 'timeout' in [upstream.queue]: '0ms' is out of range: at least 1ms"},
        {"queue.timeout = 5",
         "9:17 error: 'timeout' in [upstream.queue] takes a duration in "
         "quotes; this is an integer, write timeout = \"5s\""},
        {"queue.policy = \"lifo\"",
         "9:16 error: 'policy' in [upstream.queue]: 'lifo' is unknown; "
         "here it is \"adaptive_lifo\""},
        {"queue = 100", "9:9 error: 'queue' in [[upstream]] takes a table; this is an integer"},
        {"pool.min_idle = -1", "9:17 error: "},
        {"pool.min_idle = 1000001",
         "9:17 error: 'min_idle' in [upstream.pool] must be from 0 to 1000000, not 1000001"},
        {"pool.max_idle = -1", "9:17 error: "},
        {"pool.max_idle = 1000001", "9:17 error: "},
        {"pool.max_age = \"0s\"", "9:16 error: 'max_age' in [upstream.pool]: '0s' is out of range"},
        {"slow_start.window = \"-1s\"",
         "9:21 error: 'window' in [upstream.slow_start]: '-1s' is "
         "negative"},
        {"slow_start.window = \"never\"", "9:21 error: "},
        {"slow_start.min_weight = 1.1",
         "9:25 error: 'min_weight' in [upstream.slow_start] must be from 0 to 1, not 1.1"},
        {"slow_start.min_weight = -0.1", "9:25 error: "},
        {"slow_start.aggression = 0",
         "9:25 error: 'aggression' in [upstream.slow_start] must be above 0 and at most 1000, not "
         "0"},
        {"slow_start.aggression = -1", "9:25 error: "},
        {"slow_start.aggression = 1000.5", "9:25 error: "},
        {"slow_start.aggression = nan", "9:25 error: "},
        {"backend_defaults.weight = 65536",
         "9:27 error: 'weight' in [upstream.backend_defaults] must be from 0 to 65535, not 65536"},
        {"backend_defaults.weight = -1", "9:27 error: "},
        {"backend_defaults.tier = 65536", "9:25 error: "},
        {"backend_defaults.max_connections = 1000000001", "9:36 error: "},
        {"backend_defaults.state = \"drain\"",
         "9:18 error: unknown key 'state' in [upstream.backend_defaults]; it belongs to "
         "[[upstream.backend]]"},
        {"hash_key = \"ip\"\nbalance = \"maglev\"",
         "9:12 error: 'hash_key' in [[upstream]]: 'ip' is unknown; here it "
         "is \"source_ip\""},
        {"balance = \"least_time\"",
         "9:11 error: 'balance' in [[upstream]]: 'least_time' is "
         "unknown; here it is \"least_latency\"; there are"},
    };
    for (const auto& [line, expected] : rows) {
        const auto result = load(valid({}, line));
        const auto all = short_messages(result);
        ASSERT_EQ(all.size(), 1U) << line << '\n' << format(result.diagnostics);
        EXPECT_TRUE(all[0].starts_with(expected)) << line << '\n' << all[0];
    }
    EXPECT_EQ(short_messages(valid({}, {}, "process.hash_seed = -1\n")),
              (Messages{"1:21 error: 'hash_seed' in [process] must be at least 0, not -1"}));
}

TEST(ConfigUpstream, ValuesAtTheEdges) {
    for (const auto* line :
         {"bounded_load = 0\nbalance = \"maglev\"", "bounded_load = 1\nbalance = \"maglev\"",
          "bounded_load = 1000.0\nbalance = \"ring_hash\"", "retry_budget = 0", "retry_budget = 1",
          "queue.max_length = 0", "queue.timeout = \"1ms\"", "slow_start.min_weight = 0",
          "slow_start.min_weight = 1", "slow_start.aggression = 0.001",
          "slow_start.aggression = 1000", "hold = { max_length = 1 }\nno_backend = \"hold\"",
          "bounded_load = -0.0"}) {
        const auto result = load(valid({}, line));
        EXPECT_TRUE(result.diagnostics.empty()) << line << '\n' << format(result.diagnostics);
    }
}

TEST(ConfigUpstream, SettingsWithoutEffectAreWarnings) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"hash_key = \"source_ip\"",
         "9:12 warning: upstream 'app': 'hash_key' has no effect without balance = \"maglev\" or "
         "\"ring_hash\""},
        {"hash_key = \"source_ip_port\"\nbalance = \"random\"", "9:12 warning: upstream 'app'"},
        {"bounded_load = 1.5", "9:16 warning: upstream 'app': 'bounded_load' has no effect"},
        {"hold = { timeout = \"1s\" }",
         "9:8 warning: upstream 'app': 'hold' has no effect without no_backend = \"hold\""},
        {"pool.max_idle = 5",
         "9:1 warning: upstream 'app': the pool is off because its min_idle "
         "is 0, so its max_idle has no effect"},
        {R"(source_address = ["10.0.0.5", "2001:db8::5"])",
         "9:31 warning: upstream 'app': no backend has an IPv6 address, so nothing is connected "
         "from 2001:db8::5"},
        {"backend_defaults.weight = 0",
         "8:11 warning: upstream 'app': every backend has weight 0, so none gets connections"},
        {"backend_defaults.max_connections = 5\npool.min_idle = 6",
         "8:11 warning: upstream 'app': the pool is to keep 6 connections to backend "
         "'10.0.0.1:80', which takes only 5"},
    };
    for (const auto& [lines, expected] : rows) {
        const auto result = load(valid({}, lines));
        EXPECT_TRUE(result.ok()) << format(result.diagnostics);
        ASSERT_EQ(result.diagnostics.size(), 1U) << lines << '\n' << format(result.diagnostics);
        EXPECT_TRUE(short_messages(result)[0].starts_with(expected)) << short_messages(result)[0];
    }
}

TEST(ConfigUpstream, DefaultsForUpstreamsThatDoNotUseThemAreNoMistake) {
    const auto result =
        load(valid({}, {},
                   "[defaults.upstream]\nhash_key = \"source_ip_port\"\nbounded_load = 2.0\n"
                   "hold.timeout = \"1s\"\nsource_address = \"2001:db8::5\"\npool.max_idle = 3\n"));
    EXPECT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config.upstreams[0].hash_key, HashKey::source_ip_port);
}

TEST(ConfigUpstream, PoolBounds) {
    EXPECT_EQ(short_messages(valid({}, "pool = { min_idle = 5, max_idle = 4 }")),
              (Messages{"9:8 error: upstream 'app': the max_idle 4 of the pool is below its "
                        "min_idle 5"}));
    for (const auto* lines : {"pool = { min_idle = 5 }", "pool = { min_idle = 5, max_idle = 5 }",
                              "pool.min_idle = 5\nbackend_defaults.max_connections = 5"}) {
        const auto result = load(valid({}, lines));
        EXPECT_TRUE(result.diagnostics.empty()) << lines << '\n' << format(result.diagnostics);
    }
}

TEST(ConfigSourceAddress, EveryForm) {
    const auto result = load(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n"
        "[[upstream]]\nname = \"app\"\nbackend = [\"10.0.0.1:80\", \"[2001:db8::1]:80\"]\n"
        "source_address = [\"10.0.0.5\", \"10.0.0.6\", \"2001:DB8::5\", \"fe80::5%lo\"]\n");
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config.upstreams[0].source_address,
              (std::vector<Endpoint>{*Endpoint::parse("10.0.0.5:0"), *Endpoint::parse("10.0.0.6:0"),
                                     *Endpoint::parse("[2001:db8::5]:0"),
                                     *Endpoint::parse("[fe80::5%lo]:0")}));
}

TEST(ConfigSourceAddress, WhatIsWrong) {
    const std::pair<std::string_view, std::string_view> rows[] = {
        {"10.0.0.5:80", "has a port, which the kernel chooses; write \"10.0.0.5\""},
        {"10.0.0.5:0", "has a port, which the kernel chooses; write \"10.0.0.5\""},
        {"[2001:db8::5]:80", "has a port, which the kernel chooses; write \"2001:db8::5\""},
        {"[2001:db8::5]", "needs no brackets here"},
        {"10.0.0.0/24", "is a network; write single addresses"},
        {"0.0.0.0", "means any address"},
        {"::", "means any address"},
        {"unix:/run/a", "is no IP address; unix sockets need none"},
        {"eth0", "is no address of this machine"},
        {"10.0.0.256", "is no address of this machine"},
        {"host.example", "is no address of this machine"},
        {"", "is no address of this machine"},
    };
    for (const auto& [text, expected] : rows) {
        const auto all =
            short_messages(valid({}, "source_address = [\"" + std::string(text) + "\"]"));
        ASSERT_EQ(all.size(), 1U) << text;
        EXPECT_TRUE(all[0].starts_with("9:19 error: 'source_address' in [[upstream]]: ")) << all[0];
        EXPECT_NE(all[0].find(expected), std::string::npos) << text << ": " << all[0];
    }
    EXPECT_EQ(messages(valid({}, "source_address = [\"10.0.0.5\", \"10.0.0.5\"]")),
              "penstock.toml:9:31: error: 'source_address' in [[upstream]]: '10.0.0.5' is there "
              "twice\n"
              "    9 | source_address = [\"10.0.0.5\", \"10.0.0.5\"]\n"
              "      |                               ^^^^^^^^^^\n");
    EXPECT_TRUE(short_messages(valid({}, "source_address = 5"))[0].starts_with(
        "9:18 error: 'source_address' in [[upstream]] takes an address in quotes; this is an "
        "integer, write source_address = [\"10.0.0.5\", \"10.0.0.6\"]"));
}

TEST(ConfigBackendDefaults, HoldForWhatABackendDoesNotSay) {
    const auto result = load(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n"
        "[[upstream]]\nname = \"app\"\n"
        "[[upstream.backend]]\naddress = \"10.0.0.1:80\"\n"
        "[[upstream.backend]]\naddress = \"10.0.0.2:80\"\nweight = 1\n"
        "[[upstream.backend]]\naddress = \"10.0.0.3:80\"\nmax_connections = 0\ntier = 0\n"
        "[upstream.backend_defaults]\nweight = 7\ntier = 2\nmax_connections = 50\n");
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    const auto& backends = result.config.upstreams[0].backends;
    ASSERT_EQ(backends.size(), 3U);
    const auto values = [](const Backend& b) {
        return std::tuple(b.weight, b.tier, b.max_connections);
    };
    EXPECT_EQ(values(backends[0]), std::tuple(7, 2, 50));
    EXPECT_EQ(values(backends[1]), std::tuple(1, 2, 50)) << "what is given counts, default or not";
    EXPECT_EQ(values(backends[2]), std::tuple(7, 0, 0));
}

TEST(ConfigBackendDefaults, AreMergedWithThoseForAllUpstreams) {
    const auto result = load(
        "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\nsplit = [\"a\", \"b\"]\n"
        "[[upstream]]\nname = \"a\"\nbackend = [\"10.0.0.1:80\", "
        "{ address = \"10.0.0.2:80\", max_connections = 9 }]\n"
        "backend_defaults.weight = 3\nqueue.max_length = 4\n"
        "[[upstream]]\nname = \"b\"\nbackend = \"10.0.0.3:80\"\n"
        "[defaults.upstream]\nbalance = \"maglev\"\nqueue = { timeout = \"1s\", max_length = 5 }\n"
        "[defaults.upstream.backend_defaults]\nmax_connections = 100\nweight = 2\n");
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    const auto& a = result.config.upstreams[0];
    const auto& b = result.config.upstreams[1];
    EXPECT_EQ(a.backends[0].weight, 3U);
    EXPECT_EQ(a.backends[0].max_connections, 100U);
    EXPECT_EQ(a.backends[1].max_connections, 9U);
    EXPECT_EQ(b.backends[0].weight, 2U);
    EXPECT_EQ(b.backends[0].max_connections, 100U);
    EXPECT_EQ(a.balance, Balance::maglev);
    EXPECT_EQ(a.queue, (Queue{.max_length = 4, .timeout = 1s}));
    EXPECT_EQ(b.queue, (Queue{.max_length = 5, .timeout = 1s}));
}

}  // namespace
}  // namespace penstock::config
