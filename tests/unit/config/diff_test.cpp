#include "config/diff.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "any_value.hpp"
#include "config/format.hpp"
#include "config/print.hpp"
#include "support.hpp"

namespace penstock::config {
namespace {

constexpr std::string_view many_of_each = R"(
[[admin.listener]]
bind = "unix:/run/penstock.sock"
[[admin.listener]]
bind = "127.0.0.1:9901"
access = "metrics"

[[listener]]
name = "web"
bind = ["127.0.0.1:8080", "[::1]:8080"]
upstream = "app"
[[listener]]
name = "shop"
bind = "127.0.0.1:8081"
split = [{ upstream = "app", weight = 95 }, { upstream = "cache", weight = 5 }]

[[upstream]]
name = "app"
backend = ["10.0.0.1:80", { address = "10.0.0.2:80", name = "b", weight = 2 }, "web.internal:80"]
[[upstream]]
name = "cache"
balance = "first"
backend = ["10.0.1.1:80", "10.0.1.2:80"]
[[upstream.discovery]]
type = "dns"
name = "cache.internal"
port = 80
)";

Config config_of(std::string_view text) {
    const auto result = testing::load(text);
    EXPECT_TRUE(result.ok()) << format(result.diagnostics) << text;
    return result.config;
}

Config base() {
    static const Config config = [] {
        auto loaded = config_of(many_of_each);
        // Loading it would ask for the file.
        loaded.upstreams[1].discovery.push_back(
            {.type = DiscoveryType::file, .path = "/etc/penstock/backends.list"});
        return loaded;
    }();
    return config;
}

/// One change a line: `op what | key | from | to | effect`.
std::string lines(const std::vector<Change>& changes) {
    std::string out;
    for (const auto& c : changes) {
        const auto* op = c.op == ChangeOp::add ? "+" : c.op == ChangeOp::remove ? "-" : "~";
        out += fmt::format("{} {} | {} | {} | {} | {}\n", op, c.what, c.key, c.from, c.to,
                           to_string(c.effect));
    }
    return out;
}

std::string difference(std::string_view from, std::string_view to) {
    return lines(diff(config_of(from), config_of(to)));
}

/// The same lines in both, `from` and `to` below them: the listener's or the upstream's.
std::string listener_difference(std::string_view from, std::string_view to) {
    return difference(testing::valid(from), testing::valid(to));
}
std::string upstream_difference(std::string_view from, std::string_view to) {
    return difference(testing::valid({}, from), testing::valid({}, to));
}
std::string top_difference(std::string_view from, std::string_view to) {
    return difference(testing::valid({}, {}, from), testing::valid({}, {}, to));
}

TEST(ConfigDiff, ChangedKeysOfAnUpstream) {
    EXPECT_EQ(upstream_difference("", "connect_timeout = \"1s\""),
              "~ upstream app | connect_timeout | 4s | 1s | new connections only\n");
    EXPECT_EQ(upstream_difference("balance = \"maglev\"", "queue.timeout = \"9s\""),
              "~ upstream app | balance | maglev | p2c | new connections only\n"
              "~ upstream app | queue.timeout | 5s | 9s | at once\n");
    EXPECT_EQ(upstream_difference("max_connections = 5", "max_connections = 7\nattempts = 1"),
              "~ upstream app | attempts | 3 | 1 | new connections only\n"
              "~ upstream app | max_connections | 5 | 7 | at once\n");
    EXPECT_EQ(
        upstream_difference("health_check = \"tcp\"",
                            "health_check = { type = \"http\", http.body_contains = \"a\\t\\\"1\", "
                            "http.status = [200, \"300-302\"], down_interval.max = \"1m\" }"),
        "~ upstream app | health_check.type | tcp | http | at once\n"
        "~ upstream app | health_check.down_interval.max | 30s | 1m | at once\n"
        "~ upstream app | health_check.http.status | 200-399 | 200, 300-302 | at once\n"
        "~ upstream app | health_check.http.body_contains |  | a\\t\\\"1 | at once\n");
    EXPECT_EQ(upstream_difference("circuit_breaker.failure_rate = 0.25", "drain.wait = \"never\""),
              "~ upstream app | drain.wait | 5m | never | drains that begin later\n"
              "~ upstream app | circuit_breaker.failure_rate | 0.25 | 0.5 | at once\n");
}

TEST(ConfigDiff, ChangedKeysOfAListener) {
    EXPECT_EQ(listener_difference("timeouts.idle = \"never\"\n", "download_rate = \"1MiB/s\"\n"),
              "~ listener web | download_rate |  | 1MiB/s | new connections only\n"
              "~ listener web | timeouts.idle | never | 1h | new connections only\n");
    EXPECT_EQ(listener_difference("",
                                  "allow = [\"10.0.0.0/8\", \"unix\"]\n"
                                  "accept_rate = \"10/s burst 20\"\ndry_run = [\"allow\"]\n"),
              "~ listener web | accept_rate |  | 10/s burst 20 | at once\n"
              "~ listener web | allow |  | 10.0.0.0/8, unix | new connections only\n"
              "~ listener web | dry_run |  | allow | at once\n");
}

TEST(ConfigDiff, BindAndSplitAreOneValueEach) {
    const std::string upstreams =
        "[[upstream]]\nname = \"v1\"\nbackend = \"10.0.0.1:80\"\n"
        "[[upstream]]\nname = \"v2\"\nbackend = \"10.0.0.2:80\"\n";
    const std::string listener = "[[listener]]\nname = \"web\"\n";
    EXPECT_EQ(
        difference(listener + "bind = \"127.0.0.1:80\"\nsplit = [\"v1\", \"v2\"]\n" + upstreams,
                   listener +
                       "bind = [\"127.0.0.1:80\", \"unix:/run/web.sock\"]\n"
                       "split = [{ upstream = \"v1\", weight = 95 }, "
                       "{ upstream = \"v2\", weight = 5 }]\n" +
                       upstreams),
        "~ listener web | bind | 127.0.0.1:80 | 127.0.0.1:80, unix:/run/web.sock | "
        "addresses that stay keep their sockets\n"
        "~ listener web | split | v1=1, v2=1 | v1=95, v2=5 | new connections only\n");
}

TEST(ConfigDiff, ListenersAndUpstreamsComeAndGo) {
    const auto one = testing::valid();
    const auto two =
        one +
        "[[listener]]\nname = \"db\"\nbind = [\"127.0.0.1:5432\", \"[::1]:5432\"]\n"
        "upstream = \"pg\"\n[[upstream]]\nname = \"pg\"\nbackend = \"10.0.0.9:5432\"\n";
    EXPECT_EQ(difference(one, two),
              "+ listener db |  |  | 127.0.0.1:5432, [::1]:5432 | starts to listen\n"
              "+ upstream pg |  |  |  | at once\n");
    EXPECT_EQ(difference(two, one),
              "- listener db |  | 127.0.0.1:5432, [::1]:5432 |  | no new connections, sessions go "
              "on\n"
              "- upstream pg |  |  |  | its sessions drain\n");
}

TEST(ConfigDiff, BackendsComeGoAndChange) {
    const auto with = [](std::string_view backends) {
        return "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:80\"\nupstream = \"app\"\n"
               "[[upstream]]\nname = \"app\"\nbackend = [" +
               std::string(backends) + "]\n";
    };
    EXPECT_EQ(difference(with(R"({ name = "a", address = "10.0.0.1:80" }, "db.example:80")"),
                         with(R"("db.example:80", { name = "d", address = "10.0.0.4:80" })")),
              "+ upstream app backend d |  |  | 10.0.0.4:80 | at once\n"
              "- upstream app backend a |  | 10.0.0.1:80 |  | its sessions drain\n");
    EXPECT_EQ(difference(with(R"({ name = "a", address = "10.0.0.1:80" })"),
                         with(R"({ name = "a", address = "db.example:80", weight = 0 })")),
              "~ upstream app backend a | address | 10.0.0.1:80 | db.example:80 | another backend, "
              "sessions of the old one drain\n"
              "~ upstream app backend a | weight | 1 | 0 | at once\n");
    EXPECT_EQ(difference(with(R"({ name = "a", address = "10.0.0.1:80" })"),
                         with(R"({ name = "a", address = "10.0.0.1:80", state = "drain" })")),
              "~ upstream app backend a | state | ready | drain | at once\n");
}

TEST(ConfigDiff, NamesWhomAChangeConcerns) {
    auto to = base();
    to.listeners[1].backlog = 7;
    to.upstreams[0].attempts = 7;
    to.upstreams[0].backends[1].weight = 7;
    to.process.hash_seed = 7;
    const auto changes = diff(base(), to);
    ASSERT_EQ(changes.size(), 4U) << lines(changes);
    const auto subject = [&](std::size_t i) {
        return changes[i].listener + "," + changes[i].upstream + "," + changes[i].backend;
    };
    EXPECT_EQ(subject(0), ",,");
    EXPECT_EQ(subject(1), "shop,,");
    EXPECT_EQ(subject(2), ",app,");
    EXPECT_EQ(subject(3), ",app,b");
}

TEST(ConfigDiff, BackendOrderIsAChangeOfFirstAlone) {
    const auto with = [](std::string_view balance, std::string_view names) {
        std::string text =
            "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:80\"\nupstream = \"app\"\n"
            "[[upstream]]\nname = \"app\"\nbalance = \"" +
            std::string(balance) + "\"\n";
        for (const char name : names)
            text += fmt::format("[[upstream.backend]]\nname = \"{}\"\naddress = \"10.0.0.1:{}\"\n",
                                name, static_cast<int>(name));
        return text;
    };
    EXPECT_EQ(difference(with("first", "abc"), with("first", "bac")),
              "~ upstream app | backend order | a, b, c | b, a, c | new connections only\n");
    EXPECT_EQ(difference(with("p2c", "abc"), with("p2c", "bac")), "");
    EXPECT_EQ(difference(with("p2c", "abc"), with("first", "bac")),
              "~ upstream app | balance | p2c | first | new connections only\n")
        << "the old order meant nothing";
    EXPECT_EQ(difference(with("first", "ab"), with("first", "abc")),
              "+ upstream app backend c |  |  | 10.0.0.1:99 | at once\n")
        << "behind all others";
    EXPECT_EQ(difference(with("first", "ab"), with("first", "cab")),
              "+ upstream app backend c |  |  | 10.0.0.1:99 | at once\n"
              "~ upstream app | backend order | a, b | c, a, b | new connections only\n")
        << "before all others";
    EXPECT_EQ(difference(with("first", "abc"), with("first", "ac")),
              "- upstream app backend b |  | 10.0.0.1:98 |  | its sessions drain\n");
}

TEST(ConfigDiff, Discovery) {
    auto to = base();
    auto& cache = to.upstreams[1];
    cache.discovery[0].name = "web.internal";
    cache.discovery[1].max_backends = 9;
    std::swap(cache.discovery[0], cache.discovery[1]);
    EXPECT_EQ(
        lines(diff(base(), to)),
        "~ upstream cache discovery file /etc/penstock/backends.list | max_backends | 256 | 9 "
        "| at once\n"
        "+ upstream cache discovery dns web.internal |  |  |  | at once\n"
        "- upstream cache discovery dns cache.internal |  |  |  | its sessions drain\n");
}

TEST(ConfigDiff, TwoOfTheSameNameAreToldApart) {
    auto from = base();
    auto& discovery = from.upstreams[1].discovery;
    discovery.push_back(discovery[0]);
    discovery.back().port = 81;
    auto to = from;
    std::swap(to.upstreams[1].discovery[0], to.upstreams[1].discovery[2]);
    EXPECT_EQ(lines(diff(from, to)), "");
    to.upstreams[1].discovery[0].port = 82;
    EXPECT_EQ(lines(diff(from, to)),
              "~ upstream cache discovery dns cache.internal | port | 81 | 82 | at once\n");
}

TEST(ConfigDiff, ProcessLogsAndAdmin) {
    EXPECT_EQ(
        top_difference("process.drain.wait = \"1m\"\nlog.level = \"debug\"\n",
                       "process = { workers = 4, user = \"nobody\", shutdown_delay = \"1s\" }\n"
                       "access_log.target = \"/tmp/a.log\"\n"),
        "~ process | workers | auto | 4 | needs a restart\n"
        "~ process | drain.wait | 1m | 25s | at the next stop\n"
        "~ process | shutdown_delay | 0s | 1s | at the next stop\n"
        "~ process | user |  | nobody | needs a restart\n"
        "~ log | level | debug | info | at once\n"
        "~ access_log | target | off | /tmp/a.log | at once\n");
    EXPECT_EQ(top_difference("",
                             "[admin]\nallowed_hosts = [\"a.example\", \"b.example\"]\n"
                             "[[admin.listener]]\nbind = \"127.0.0.1:9901\"\naccess = \"read\"\n"
                             "[[admin.listener]]\nsocket_mode = \"0660\"\n"),
              "~ admin | allowed_hosts |  | a.example, b.example | at once\n"
              "+ admin listener 127.0.0.1:9901 |  |  |  | starts to listen\n"
              "~ admin listener unix:$RUNTIME/admin.sock | socket_mode | 0600 | 0660 | at once\n");
    EXPECT_EQ(
        top_difference("[[admin.listener]]\nbind = \"127.0.0.1:9901\"\naccess = \"read\"\n", ""),
        "+ admin listener unix:$RUNTIME/admin.sock |  |  |  | starts to listen\n"
        "- admin listener 127.0.0.1:9901 |  |  |  | no new connections, sessions go on\n");
}

/// A random configuration near the base, which need not pass the checks.
Config random_config(std::mt19937& engine, int changes) {
    auto config = base();
    const auto count = testing::mutate(config, static_cast<std::size_t>(-1), engine);
    for (int i = 0; i < changes; ++i)
        testing::mutate(config, std::uniform_int_distribution<std::size_t>(0, count - 1)(engine),
                        engine);
    return config;
}

/// In an order that depends only on what there is, where order has no meaning.
Config sorted(Config config) {
    const auto by_text = [](std::string_view spec, auto& rows) {
        std::ranges::sort(rows, {},
                          [&](auto& row) { return format_table(table_spec(spec), &row); });
    };
    for (auto& upstream : config.upstreams) {
        if (upstream.balance != Balance::first) by_text("upstream.backend", upstream.backends);
        by_text("upstream.discovery", upstream.discovery);
    }
    by_text("listener", config.listeners);
    by_text("upstream", config.upstreams);
    by_text("admin.listener", config.admin.listeners);
    return config;
}

Config shuffled(Config config, std::mt19937& engine) {
    const auto shuffle = [&](auto& rows) { std::ranges::shuffle(rows, engine); };
    for (auto& upstream : config.upstreams) {
        if (upstream.balance != Balance::first) shuffle(upstream.backends);
        shuffle(upstream.discovery);
    }
    shuffle(config.listeners);
    shuffle(config.upstreams);
    shuffle(config.admin.listeners);
    return config;
}

TEST(ConfigDiff, EqualOnesHaveNoDifference) {
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        std::mt19937 engine(seed);
        const auto config = random_config(engine, 20);
        ASSERT_EQ(lines(diff(config, config)), "") << "seed " << seed;
        ASSERT_EQ(lines(diff(config, shuffled(config, engine))), "") << "seed " << seed;
    }
}

TEST(ConfigDiff, IsEmptyForEqualOnesOnly) {
    int equal = 0;
    for (std::uint32_t seed = 0; seed < 500; ++seed) {
        // The same seed gives the same changes; some lead back to where they came from.
        std::mt19937 one(seed);
        std::mt19937 other(seed);
        const auto from = random_config(one, static_cast<int>(seed % 3));
        const auto to = shuffled(random_config(other, static_cast<int>(seed % 5)), other);
        const bool same = sorted(from) == sorted(to);
        equal += same ? 1 : 0;
        ASSERT_EQ(diff(from, to).empty(), same) << "seed " << seed << '\n'
                                                << lines(diff(from, to)) << print(from) << "----\n"
                                                << print(to);
    }
    EXPECT_GT(equal, 30);
    EXPECT_LT(equal, 470);
}

/// What makes a new key part of every plan: its row in the key table alone.
TEST(ConfigDiff, NamesEveryKeyThereIs) {
    auto from = base();
    from.upstreams[1].balance = Balance::p2c;  // whoever is renamed would change places, too
    from.listeners[0].tls.emplace();
    from.upstreams[0].tls.emplace();
    auto config = from;
    std::mt19937 engine(1);
    const auto count = testing::mutate(config, static_cast<std::size_t>(-1), engine);
    std::set<const Key*> seen;
    for (std::size_t i = 0; i < count; ++i) {
        Root root;
        root.config = from;
        std::string path;
        bool is_identity = false;
        std::size_t n = 0;
        testing::each_leaf(table_spec(""), &root, [&](const testing::Leaf& leaf) {
            if (n++ != i) return;
            path = leaf.path;
            is_identity = leaf.is_identity();
            seen.insert(&leaf.key);
            std::visit(testing::Mutation{leaf.key, engine}, leaf.slot);
        });
        const auto changes = diff(from, root.config);
        ASSERT_EQ(changes.size(), is_identity ? 2U : 1U) << path << '\n' << lines(changes);
        if (is_identity) continue;
        EXPECT_EQ(changes[0].op, ChangeOp::change);
        EXPECT_EQ(changes[0].key, path);
        EXPECT_NE(changes[0].from, changes[0].to);
        EXPECT_FALSE(to_string(changes[0].effect).empty()) << path;
        EXPECT_FALSE(changes[0].what.empty()) << path;
    }
    // Lists of tables that are one value are seen as a whole.
    const auto is_whole = [](const Key& key) {
        return key.kind == Kind::tables && table_spec(key.child).identity.empty();
    };
    std::set<std::string_view> parts{"", "defaults"};
    for (const auto& table : all_tables())
        for (const auto& key : table.keys)
            if (key.is_stored() && is_whole(key)) parts.insert(key.child);
    for (const auto& table : all_tables()) {
        if (parts.contains(table.path)) continue;
        for (const auto& key : table.keys)
            if (key.is_stored() && (key.child.empty() || is_whole(key))) {
                EXPECT_TRUE(seen.contains(&key)) << table.header << ' ' << key.name;
            }
    }
}

TEST(ConfigDiff, DigestIsOfBothAndTheSameEverywhere) {
    const auto from = base();
    auto to = base();
    to.upstreams[0].attempts = 7;
    const auto text = digest(from, to);
    EXPECT_EQ(text.size(), 6U);
    EXPECT_EQ(text.find_first_not_of("0123456789abcdef"), std::string::npos) << text;
    EXPECT_EQ(digest(base(), to), text);
    EXPECT_NE(digest(to, from), text);
    EXPECT_NE(digest(from, from), text);
    EXPECT_NE(digest(to, to), text);
}

TEST(ConfigDiff, WithRunningKeepsWhatNeedsARestart) {
    auto running = base();
    running.process.workers = 4;
    running.process.user = "nobody";
    auto wanted = base();
    wanted.process.workers = 8;
    wanted.process.group = "www-data";
    wanted.process.hash_seed = 5;
    wanted.upstreams[0].attempts = 7;
    const auto in_force = with_running(wanted, running);
    EXPECT_EQ(lines(diff(running, in_force)),
              "~ process | hash_seed | 0 | 5 | new connections only\n"
              "~ upstream app | attempts | 3 | 7 | new connections only\n");
    EXPECT_EQ(lines(diff(in_force, wanted)),
              "~ process | workers | 4 | 8 | needs a restart\n"
              "~ process | user | nobody |  | needs a restart\n"
              "~ process | group |  | www-data | needs a restart\n");
}

/// For every key: a change either needs a restart and is left out, or is in force.
TEST(ConfigDiff, WithRunningAndRestartAgree) {
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        std::mt19937 engine(seed);
        const auto running = random_config(engine, 10);
        const auto wanted = random_config(engine, 10);
        auto expected = diff(running, wanted);
        std::erase_if(expected, [](const Change& c) { return c.effect == Effect::restart; });
        ASSERT_EQ(lines(diff(running, with_running(wanted, running))), lines(expected))
            << "seed " << seed;
    }
}

}  // namespace
}  // namespace penstock::config
