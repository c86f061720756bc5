#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support.hpp"

namespace penstock::config {
namespace {

using testing::short_messages;
using testing::valid;
using Messages = std::vector<std::string>;

TEST(ConfigC1, UnknownKeySuggestsTheNearest) {
    EXPECT_EQ(short_messages(valid("refuse_wiht = \"reset\"")),
              (Messages{"5:1 error: unknown key 'refuse_wiht' in [[listener]]; did you mean "
                        "'refuse_with'?"}));
    EXPECT_EQ(
        short_messages(valid("on-limit = \"wait\"")),
        (Messages{"5:1 error: unknown key 'on-limit' in [[listener]]; did you mean 'on_limit'?"}));
    EXPECT_EQ(short_messages(valid("zebra = 1")),
              (Messages{"5:1 error: unknown key 'zebra' in [[listener]]"}));
    EXPECT_EQ(short_messages(valid({}, {}, "inclde = []\n")),
              (Messages{"1:1 error: unknown key 'inclde' at the top of the file; did you mean "
                        "'include'?"}));
}

TEST(ConfigC1, UnknownTableSuggestsTheNearest) {
    EXPECT_EQ(short_messages(valid({}, {}, "[proces]\nworkers = 1\n")),
              (Messages{"1:1 error: unknown table 'proces'; did you mean [process]?"}));
    EXPECT_EQ(short_messages(valid({}, {}, "[[listner]]\nname = \"x\"\n")),
              (Messages{"1:1 error: unknown table 'listner'; did you mean [[listener]]?"}));
    EXPECT_EQ(short_messages(valid("[listener.timeout]\n")),
              (Messages{"5:1 error: unknown table 'timeout' in [[listener]]; here it is idle in "
                        "[listener.timeouts]"}));
}

TEST(ConfigC1, KeyOfATableFurtherUpNamesTheLineToMoveItAbove) {
    EXPECT_EQ(short_messages(valid("[listener.timeouts]\nidle = \"1m\"\nbacklog = 5")),
              (Messages{"7:1 error: 'backlog' belongs to [[listener]], not to [listener.timeouts]: "
                        "move it above line 5, [listener.timeouts]"}));
    EXPECT_EQ(
        short_messages("[[listener]]\n[listener.timeouts]\nname = \"web\"\nbind = \":80\"\n"),
        (Messages{
            "1:1 error: [[listener]] without 'name'; add name = \"web\"",
            "1:1 error: [[listener]] without 'bind'; add bind = [\"0.0.0.0:80\", \"[::]:80\"]",
            "3:1 error: 'name' belongs to [[listener]], not to [listener.timeouts]: move it "
            "above line 2, [listener.timeouts]",
            "4:1 error: 'bind' belongs to [[listener]], not to [listener.timeouts]: move it "
            "above line 2, [listener.timeouts]"}));
}

TEST(ConfigC1, KeyBelowASecondSubTableMovesAboveTheFirst) {
    const auto all = short_messages(
        "[[listener]]\nname = \"web\"\nbind = \":80\"\nupstream = \"a\"\n"
        "[[upstream]]\nname = \"a\"\n"
        "[[upstream.backend]]\naddress = \"10.0.0.1:80\"\n"
        "[[upstream.backend]]\naddress = \"10.0.0.2:80\"\nconnect_timeout = \"1s\"\n");
    EXPECT_EQ(all,
              (Messages{"11:1 error: 'connect_timeout' belongs to [[upstream]], not to "
                        "[[upstream.backend]]: move it above line 7, where the first table below "
                        "[[upstream]] starts"}));
}

TEST(ConfigC1, KeyOfAnUpstreamBelowItsTls) {
    EXPECT_EQ(short_messages(valid({},
                                   "[upstream.tls]\nalpn = [\"h2\"]\n"
                                   "connect_timeout = \"1s\"\nverfy = false")),
              (Messages{"11:1 error: 'connect_timeout' belongs to [[upstream]], not to "
                        "[upstream.tls]: move it above line 9, [upstream.tls]",
                        "12:1 error: unknown key 'verfy' in [upstream.tls]; did you mean "
                        "'verify'?"}));
}

TEST(ConfigC1, KeyOfAnUpstreamBelowItsQueue) {
    EXPECT_EQ(short_messages(valid({},
                                   "[upstream.queue]\nmax_length = 5\nconnect_timeout = \"1s\"\n"
                                   "max_connections = 6")),
              (Messages{"11:1 error: 'connect_timeout' belongs to [[upstream]], not to "
                        "[upstream.queue]: move it above line 9, [upstream.queue]",
                        "12:1 error: 'max_connections' belongs to [[upstream]], not to "
                        "[upstream.queue]: move it above line 9, [upstream.queue]"}));
}

TEST(ConfigC1, KeyOfAnOuterTableInBraces) {
    EXPECT_EQ(
        short_messages(valid("keepalive = { idle = \"5s\", backlog = 5 }")),
        (Messages{"5:28 error: 'backlog' belongs to [[listener]], not to [listener.keepalive]: "
                  "move it out of these braces"}));
}

TEST(ConfigC1, KeyOfTheTopOfTheFile) {
    EXPECT_EQ(
        short_messages(valid({}, {}, "[process]\ninclude = [\"x\"]\n")),
        (Messages{"2:1 error: 'include' belongs to the top of the file, not to [process]: move "
                  "it above line 1, [process]"}));
}

TEST(ConfigC1, KeyOfAnotherTable) {
    EXPECT_EQ(short_messages(valid("half_closed = \"1m\"")),
              (Messages{"5:1 error: unknown key 'half_closed' in [[listener]]; it belongs to "
                        "[listener.timeouts]"}));
    EXPECT_EQ(short_messages(valid({}, {}, "workers = 1\n")),
              (Messages{"1:1 error: unknown key 'workers' at the top of the file; it belongs to "
                        "[process]"}));
}

TEST(ConfigC1, WordsOfOtherProxies) {
    struct Row {
        std::string listener, upstream, top;
        std::string expected;
    };
    const Row rows[] = {
        {"maxconn = 5", "", "",
         "unknown key 'maxconn' in [[listener]]; here it is max_connections"},
        {"listen = \":80\"", "", "", "unknown key 'listen' in [[listener]]; here it is bind"},
        {"default_backend = \"x\"", "", "",
         "unknown key 'default_backend' in [[listener]]; here it is upstream"},
        {"cluster = \"x\"", "", "", "unknown key 'cluster' in [[listener]]; here it is upstream"},
        {"proxy_pass = \"x\"", "", "",
         "unknown key 'proxy_pass' in [[listener]]; here it is upstream"},
        {"proxy_timeout = \"1m\"", "", "",
         "unknown key 'proxy_timeout' in [[listener]]; here it is idle in [listener.timeouts]"},
        {"", "server = \"x\"", "", "unknown key 'server' in [[upstream]]; here it is backend"},
        {"", "[upstream.outlier_detection]\n", "",
         "unknown table 'outlier_detection' in [[upstream]]; here it is circuit_breaker"},
        {"", "backup = true", "",
         "unknown key 'backup' in [[upstream]]; here it is tier = 1 in [[upstream.backend]]"},
        {"", "max_fails = 3", "",
         "unknown key 'max_fails' in [[upstream]]; here it is consecutive_failures in "
         "[upstream.circuit_breaker]"},
        {"", "least_conn = true", "",
         "unknown key 'least_conn' in [[upstream]]; here it is balance = \"least_connections\""},
        {"", "timeout = \"1s\"", "",
         "unknown key 'timeout' in [[upstream]]; here it is connect_timeout"},
        {"", "slowstart = \"30s\"", "",
         "unknown key 'slowstart' in [[upstream]]; here it is slow_start"},
        {"", "consistent = true", "",
         "unknown key 'consistent' in [[upstream]]; here it is balance = \"ring_hash\""},
        {"", "ip_hash = true", "",
         "unknown key 'ip_hash' in [[upstream]]; here it is balance = \"maglev\" with hash_key = "
         "\"source_ip\""},
        {"", "hash-balance-factor = 125", "",
         "unknown key 'hash-balance-factor' in [[upstream]]; here it is bounded_load"},
        {"", "source = \"10.0.0.5\"", "",
         "unknown key 'source' in [[upstream]]; here it is source_address"},
        {"", "maxqueue = 5", "",
         "unknown key 'maxqueue' in [[upstream]]; here it is max_length in [upstream.queue]"},
        {"", "timeout_queue = \"5s\"", "",
         "unknown key 'timeout_queue' in [[upstream]]; here it is timeout in [upstream.queue]"},
        {"", "pool-low-conn = 5", "",
         "unknown key 'pool-low-conn' in [[upstream]]; here it is min_idle in [upstream.pool]"},
        {"", "max_retries = 5", "",
         "unknown key 'max_retries' in [[upstream]]; here it is retry_budget"},
        {"", "maxconn = 5", "",
         "unknown key 'maxconn' in [[upstream]]; here it is max_connections"},
        {"limit_conn = 5", "", "",
         "unknown key 'limit_conn' in [[listener]]; here it is max_connections_per_source"},
        {"stick-table = \"x\"", "", "",
         "unknown key 'stick-table' in [[listener]]; here it is accept_rate_per_source"},
        {"ipAllowList = []", "", "", "unknown key 'ipAllowList' in [[listener]]; here it is allow"},
        {"blacklist = []", "", "", "unknown key 'blacklist' in [[listener]]; here it is deny"},
        {"proxy_download_rate = \"1m\"", "", "",
         "unknown key 'proxy_download_rate' in [[listener]]; here it is download_rate"},
        {"split_clients = []", "", "",
         "unknown key 'split_clients' in [[listener]]; here it is split"},
        {"allow_list = []", "", "", "unknown key 'allow_list' in [[listener]]; here it is allow"},
        {"", "", "[global]\n", "unknown table 'global'; here it is [process]"},
        {"", "", "[[frontend]]\n", "unknown table 'frontend'; here it is [[listener]]"},
        {"", "", "[[cluster]]\n", "unknown table 'cluster'; here it is upstream"},
        {"", "", "[[backend]]\n", "unknown table 'backend'; here it is [[upstream]]"},
        {"", "", "[entryPoints.web]\naddress = \":80\"\n",
         "unknown key 'entryPoints' at the top of the file; here it is [[listener]]"},
        {"", "", "[process]\nnbthread = 4\n",
         "unknown key 'nbthread' in [process]; here it is workers"},
    };
    for (const auto& row : rows) {
        const auto all = testing::load(valid(row.listener, row.upstream, row.top)).diagnostics;
        ASSERT_EQ(all.size(), 1U) << row.expected << '\n' << format(all);
        EXPECT_EQ(all[0].message, row.expected);
    }
}

TEST(ConfigC1, BracketsOfTables) {
    EXPECT_EQ(
        short_messages("[listener]\nname = \"web\"\nbind = \":80\"\nupstream = \"u\"\n"
                       "[upstream]\nname = \"u\"\nbackend = \"10.0.0.1:80\"\n"),
        (Messages{"1:1 error: [listener] must be written [[listener]]: there can be several",
                  "5:1 error: [upstream] must be written [[upstream]]: there can be several"}));
    EXPECT_EQ(short_messages(valid({}, {}, "[[process]]\nworkers = 1\n")),
              (Messages{"1:1 error: [[process]] must be written [process]: there is only one"}));
    EXPECT_EQ(
        short_messages(valid("[[listener.timeouts]]\nidle = \"1m\"")),
        (Messages{"5:1 error: [[listener.timeouts]] must be written [listener.timeouts]: there "
                  "is only one"}));
    const auto alone = short_messages("[listener.timeouts]\nidle = \"1m\"\n");
    ASSERT_FALSE(alone.empty());
    EXPECT_EQ(alone[0], "1:2 error: this needs a [[listener]] above it, of which it is a part");
}

TEST(ConfigC1, InlineTablesWorkToo) {
    const auto result = testing::load(
        "listener = { name = \"web\", bind = \":80\", upstream = \"u\" }\n"
        "upstream = [ { name = \"u\", backend = { address = \"10.0.0.1:80\" } } ]\n");
    EXPECT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
}

}  // namespace
}  // namespace penstock::config
