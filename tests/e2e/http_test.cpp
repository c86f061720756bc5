#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/e2e/scenario.hpp"
#include "tests/servers/curl.hpp"
#include "tests/servers/nginx.hpp"
#include "tests/servers/wrk.hpp"

/// nginx behind the proxy, under the load of wrk.
namespace penstock::test {
namespace {

constexpr unsigned connections = 16;

// wrk leaves with a request under way on every connection. The proxy may then see any of: the
// client gone before the backend was connected, data that the client no longer takes, a plain end.
void expect_left_by_client(const LogLine& line) {
    static const std::set<std::string> reasons{"completed", "client_reset", "client_gone"};
    EXPECT_TRUE(reasons.contains(line.reason)) << line.raw;
    EXPECT_TRUE(line.reason == "completed" || line.closed_by == "client") << line.raw;
}

// Only a client that left during the connection attempt has no backend in its line.
void expect_backend_known(const std::vector<LogLine>& lines) {
    for (const LogLine& line : lines)
        EXPECT_EQ(line.backend.empty(), line.reason == "client_gone") << line.raw;
}

TEST(Http, KeptAliveConnectionsCarryAllRequests) {
    Nginx nginx("hello");
    ProxyProcess proxy(proxy_for({nginx.text()}));
    const WrkReport report = run_wrk(proxy.address(), connections, 1, HttpConnections::kept_alive);
    EXPECT_EQ(report.errors(), 0U) << report.output;
    EXPECT_GE(report.requests, connections);

    const auto lines = stop_with_lines(proxy, connections + wrk_probe_connections);
    std::uint64_t to_client = 0;
    for (const LogLine& line : lines) {
        expect_left_by_client(line);
        to_client += line.bytes_to_client;
    }
    expect_backend_known(lines);
    const Nginx::Status status = nginx.status();
    EXPECT_LE(status.accepted, lines.size());
    EXPECT_GE(status.requests, report.requests);
    EXPECT_LE(status.requests, report.requests + connections);
    // At least every complete answer was paid out, each more than its six bytes of body.
    EXPECT_GT(to_client, report.requests * 6);
}

// Lines of connections that carried one whole request and its answer.
std::vector<LogLine> whole_exchanges(const std::vector<LogLine>& lines) {
    std::vector<LogLine> result;
    std::ranges::copy_if(lines, std::back_inserter(result), [](const LogLine& line) {
        return line.reason == "completed" && line.bytes_to_client > 0;
    });
    return result;
}

TEST(Http, ConnectionPerRequestCountsEveryConnection) {
    Nginx nginx("hello");
    ProxyProcess proxy(proxy_for({nginx.text()}));
    const WrkReport report =
        run_wrk(proxy.address(), connections, 1, HttpConnections::one_per_request);
    EXPECT_EQ(report.errors(), 0U) << report.output;

    // One connection for each answer, and those that were open when wrk ended.
    const auto expected = report.requests + connections + wrk_probe_connections;
    const auto lines = stop_with_lines(proxy, expected);
    expect_backend_known(lines);
    const auto whole = whole_exchanges(lines);
    EXPECT_GE(whole.size(), report.requests);
    std::set<std::uint64_t> to_backend, to_client;
    for (const LogLine& line : whole) {
        to_backend.insert(line.bytes_to_backend);
        to_client.insert(line.bytes_to_client);
    }
    EXPECT_EQ(to_backend.size(), 1U) << "equal requests of different length";
    EXPECT_EQ(to_client.size(), 1U) << "equal answers of different length";
    for (const LogLine& line : lines) expect_left_by_client(line);
    EXPECT_LE(nginx.status().accepted, lines.size());
    EXPECT_GE(nginx.status().requests, report.requests);
}

TEST(Http, OneClientAfterTheOtherAlwaysCompletes) {
    Nginx nginx("hello");
    ProxyProcess proxy(proxy_for({nginx.text()}));
    constexpr std::size_t count = 100;
    std::string expected;
    for (std::size_t i = 0; i < count; ++i) expected += "hello\n";
    const std::string url = "http://" + proxy.address().text() + "/";
    EXPECT_EQ(curl({"--header", "Connection: close", url + "?[1-100]"}), expected);
    const auto lines = stop_with_lines(proxy, count);
    EXPECT_EQ(count_reasons(lines), (Counts{{"completed", count}}));
    EXPECT_EQ(nginx.status().accepted, count);
    EXPECT_EQ(nginx.status().requests, count);
}

}  // namespace
}  // namespace penstock::test
