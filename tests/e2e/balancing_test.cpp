#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "tests/e2e/scenario.hpp"
#include "tests/servers/curl.hpp"
#include "tests/servers/nginx.hpp"
#include "tests/servers/wrk.hpp"

/// Several nginx behind one upstream.
namespace penstock::test {
namespace {

std::string url(const ProxyProcess& proxy) { return "http://" + proxy.address().text() + "/"; }

// `count` requests one after the other, each on a connection of its own; all answers.
std::string fetch(const ProxyProcess& proxy, unsigned count) {
    return curl(
        {"--header", "Connection: close", url(proxy) + "?[1-" + std::to_string(count) + "]"});
}

std::string times(const std::string& text, unsigned count) {
    std::string result;
    for (unsigned i = 0; i < count; ++i) result += text;
    return result;
}

TEST(Balancing, RoundRobinGivesExactThirds) {
    Nginx first("first"), second("second"), third("third");
    ProxyProcess proxy(proxy_for({first.text(), second.text(), third.text()}, 1));
    constexpr unsigned count = 300;
    const std::string number = std::to_string(count);
    // All connections at once, one request each.
    const std::string report =
        run_program({"h2load", "--h1", "-n", number, "-c", number, url(proxy)}, 60s);
    EXPECT_NE(report.find(number + " succeeded, 0 failed, 0 errored, 0 timeout"), std::string::npos)
        << report;
    const auto lines = stop_with_lines(proxy, count);
    EXPECT_EQ(count_backends(lines), (Counts{{"b0", 100}, {"b1", 100}, {"b2", 100}}));
    for (Nginx* nginx : {&first, &second, &third}) EXPECT_EQ(nginx->status().requests, 100U);
}

TEST(Balancing, WeightsGiveExactShares) {
    Nginx light("light"), heavy("heavy");
    ProxyProcess proxy(proxy_for({"address = \"" + light.text() + "\"\nweight = 1",
                                  "address = \"" + heavy.text() + "\"\nweight = 3"},
                                 1));
    const std::string answers = fetch(proxy, 40);
    EXPECT_EQ(std::ranges::count(answers, '\n'), 40);
    const auto lines = stop_with_lines(proxy, 40);
    EXPECT_EQ(count_backends(lines), (Counts{{"b0", 10}, {"b1", 30}}));
}

TEST(Balancing, BackupServesOnlyWhileTheFirstTierRefuses) {
    Nginx main("main"), backup("backup");
    ProxyProcess proxy(proxy_for({"address = \"" + main.text() + "\"\ntier = 0",
                                  "address = \"" + backup.text() + "\"\ntier = 1"}));
    EXPECT_EQ(fetch(proxy, 20), times("main\n", 20));
    main.kill();
    EXPECT_EQ(fetch(proxy, 3), times("backup\n", 3));
    main.restart();
    EXPECT_EQ(fetch(proxy, 20), times("main\n", 20));
    EXPECT_EQ(backup.status().accepted, 3U);

    const auto lines = stop_with_lines(proxy, 43);
    EXPECT_EQ(count_reasons(lines), (Counts{{"completed", 43}}));
    EXPECT_EQ(count_backends(lines), (Counts{{"b0", 40}, {"b1", 3}}));
    for (const LogLine& line : lines) {
        if (line.backend != "b1") continue;
        ASSERT_EQ(line.attempts.size(), 2U) << line.raw;
        EXPECT_EQ(line.attempts[0].backend, "b0");
        EXPECT_EQ(line.attempts[0].error, "refused");
        EXPECT_EQ(line.attempts[1].backend, "b1");
        EXPECT_EQ(line.attempts[1].error, "");
    }
}

// What the crash of b0 may and may not do to the connections in the log.
struct CrashEffects {
    std::size_t retried = 0;  // not taken by b0, served by another
    std::size_t broken = 0;   // were on b0, without their whole answer
};

CrashEffects judge_crash(const std::vector<LogLine>& lines, std::uint64_t whole_answer) {
    CrashEffects effects;
    for (const LogLine& line : lines) {
        EXPECT_NE(line.reason, "connect_failed") << line.raw;
        EXPECT_NE(line.reason, "no_backend") << line.raw;
        if (line.attempts.size() > 1 && line.reason == "completed") {
            ++effects.retried;
            const LogAttempt& failed = line.attempts.front();
            EXPECT_EQ(failed.backend, "b0") << line.raw;
            // A reset: the kernel had let it in just before the crash.
            EXPECT_TRUE(failed.error == "refused" || failed.error == "reset") << line.raw;
            EXPECT_NE(line.backend, "b0") << line.raw;
        }
        const bool left_by_client = line.closed_by == "client";
        if (line.bytes_to_client == whole_answer || left_by_client) continue;
        ++effects.broken;
        EXPECT_EQ(line.backend, "b0") << line.raw;
    }
    return effects;
}

TEST(Balancing, CrashUnderLoadFailsNoNewConnection) {
    constexpr unsigned connections = 16;
    Nginx first("same"), second("same"), third("same");
    // All clients may meet the dead one at the same moment: that is no storm of retries here.
    ProxyProcess proxy(
        proxy_for({first.text(), second.text(), third.text()}, 2, "retry_budget = 1.0"));
    // It is told to end when there was enough.
    ChildProcess wrk(
        wrk_command(proxy.address(), connections, 300, HttpConnections::one_per_request));
    const auto warm = proxy.access_log().wait_for_lines(100);
    ASSERT_GE(warm.size(), 100U);
    const auto whole = std::ranges::max(warm, {}, &LogLine::bytes_to_client).bytes_to_client;
    ASSERT_GT(whole, 0U);
    first.kill();
    // What the log has by now may all be of before.
    const auto retried = [](const LogLine& line) { return line.attempts.size() > 1; };
    auto seen = proxy.access_log().lines();
    for (int i = 0; i < 100 && std::ranges::none_of(seen, retried); ++i)
        seen = proxy.access_log().wait_for_lines(seen.size() + 100);
    const std::size_t until_now = seen.size();
    const auto more = proxy.access_log().wait_for_lines(until_now + 100);
    ASSERT_GE(more.size(), until_now + 100);
    wrk.signal(SIGINT);
    ASSERT_TRUE(wrk.wait_exit());

    const WrkReport report = parse_wrk(wrk.output());
    EXPECT_EQ(report.connect_errors, 0U) << report.output;
    EXPECT_EQ(report.timeouts, 0U) << report.output;
    EXPECT_EQ(report.bad_status, 0U) << report.output;
    EXPECT_GT(report.requests, warm.size());
    const auto broken_for_wrk = report.read_errors + report.write_errors;
    EXPECT_LE(broken_for_wrk, connections) << report.output;
    const auto lines = stop_with_lines(
        proxy, report.requests + broken_for_wrk + connections + wrk_probe_connections);
    const CrashEffects effects = judge_crash(lines, whole);
    EXPECT_GT(effects.retried, 0U);
    EXPECT_LE(effects.broken, connections);
}

}  // namespace
}  // namespace penstock::test
