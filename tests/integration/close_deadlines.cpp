// The contract's table of reasons: ends because time has passed. What each side sees, and what the
// line says.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <ostream>

#include "tests/integration/close_case.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {
namespace {

/// A peer that vanishes without a word: its segments are dropped in both directions.
class AccessLogLost : public testing::Test {
protected:
    void silence(const Address& peer) {
        netns.add_rule("tcp dport " + std::to_string(peer.port()));
        netns.add_rule("tcp sport " + std::to_string(peer.port()));
    }
    // Two samples a full peer_timeout apart: between one and three of them.
    static TimingWindow window_of_peer_timeout(milliseconds timeout) {
        return {timeout, window_of(3 * timeout).latest};
    }
    ScopedNetns netns;
};

TEST_F(AccessLogLost, client_lost) {
    Ticker ticker;
    ChaosBackend backend(ticker.script());
    ProxyProcess proxy(one_service({backend.text()}, "", "", "peer_timeout = \"1s\""));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_EQ(client->receive_text(4), "tick");
    const auto start = Clock::now();
    silence(client->local());
    the_line(proxy, {"client_lost", "client", nullptr, 1});
    EXPECT_TRUE(window_of_peer_timeout(1s).contains(since(start))) << since(start).count();
    EXPECT_EQ(ticker.wait(), End::reset);
}

TEST_F(AccessLogLost, backend_lost) {
    Watched watched;
    ChaosBackend backend(watched.script());
    ProxyProcess proxy(one_service({backend.text()}, "", "", "peer_timeout = \"1s\""));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(ping_pong(*client));
    silence(backend.address());
    const auto start = Clock::now();
    ASSERT_TRUE(client->send("anybody there?"));
    EXPECT_EQ(client->wait_end(), End::reset);
    EXPECT_TRUE(window_of_peer_timeout(1s).contains(since(start))) << since(start).count();
    the_line(proxy, {"backend_lost", "backend", nullptr, 1});
}

TEST_F(AccessLogLost, a_peer_that_lives_and_does_not_read_is_not_lost) {
    ChaosBackend flood([](Socket& socket, const ChaosBackend& me) {
        const std::string block(65536, 'x');
        while (!me.stopping() && socket.send(block, 100ms)) {
        }
        me.hold();
    });
    ProxyProcess proxy(
        one_service({flood.text()}, "idle = \"4s\"", "", "peer_timeout = \"500ms\""));
    auto client = Socket::connect(proxy.address(), {.receive_buffer = 4096});
    ASSERT_TRUE(client);
    the_line(proxy, {"idle_timeout", "policy", "proxy", 1});
}

struct DeadlineCase {
    const char* name;
    const char* timeouts;
    const char* reason;
    bool half_close;
    friend std::ostream& operator<<(std::ostream& out, const DeadlineCase& row) {
        return out << row.name;
    }
};
class AccessLogDeadlines : public testing::TestWithParam<DeadlineCase> {};

TEST_P(AccessLogDeadlines, both_sides_see_a_reset_in_time) {
    const DeadlineCase& row = GetParam();
    const auto attempt = [&row] {
        Watched watched(row.half_close);
        ChaosBackend backend(watched.script());
        ProxyProcess proxy(one_service({backend.text()}, row.timeouts));
        auto start = Clock::now();
        auto client = Socket::connect(proxy.address());
        if (!client || !ping_pong(*client)) return false;  // held up: the deadline was sooner
        if (row.half_close) {
            start = Clock::now();
            client->finish();
        }
        EXPECT_EQ(client->wait_end(), End::reset);
        EXPECT_TRUE(window_of(1s).contains(since(start))) << since(start).count();
        EXPECT_EQ(watched.wait(), End::reset);
        the_line(proxy, {row.reason, "policy", "proxy", 1});
        return true;
    };
    EXPECT_TRUE(in_one_of_three_windows(attempt));
}

INSTANTIATE_TEST_SUITE_P(
    Deadlines, AccessLogDeadlines,
    testing::Values(
        DeadlineCase{"idle", "idle = \"1s\"", "idle_timeout", false},
        DeadlineCase{"half_closed", "half_closed = \"1s\"", "half_closed_timeout", true},
        DeadlineCase{"lifetime", "lifetime = \"1s\"\nlifetime_jitter = 0", "lifetime", false}),
    [](const auto& row) { return std::string(row.param.name); });

struct DrainSeen {
    End client = End::open;
    milliseconds after{};  // since the signal
    bool clean_exit = false;
};

/// TERM with one connection open, until the proxy has ended.
DrainSeen drain(ProxyProcess& proxy, Socket& client) {
    DrainSeen seen;
    const auto start = Clock::now();
    proxy.signal(SIGTERM);
    seen.client = client.wait_end();
    seen.after = since(start);
    const auto status = proxy.wait_exit();
    seen.clean_exit = status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0;
    return seen;
}

void expect_drained(const ProxyProcess& proxy, const DrainSeen& seen, End expected) {
    EXPECT_EQ(seen.client, expected);
    EXPECT_TRUE(window_of(1500ms).contains(seen.after)) << seen.after.count();
    EXPECT_TRUE(seen.clean_exit);
    the_line(proxy, {"drained", "operator", "proxy", 1});
}

ConfigText with_drain(const ChaosBackend& backend) {
    ConfigText config = one_service({backend.text()});
    config.drain = R"({ wait = "1500ms", close_over = "200ms" })";
    return config;
}

TEST(AccessLogDrain, drained_by_fin_when_quiet) {
    Watched watched;
    ChaosBackend backend(watched.script());
    ProxyProcess proxy(with_drain(backend));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(ping_pong(*client));
    expect_drained(proxy, drain(proxy, *client), End::fin);
    EXPECT_EQ(watched.wait(), End::fin);
}

TEST(AccessLogDrain, drained_by_reset_when_busy) {
    const auto attempt = [] {
        Ticker ticker;
        ChaosBackend backend(ticker.script());
        ProxyProcess proxy(with_drain(backend));
        auto client = Socket::connect(proxy.address());
        if (!client || client->receive_text(4) != "tick") return false;
        const DrainSeen seen = drain(proxy, *client);
        if (ticker.longest_silence() >= 500ms) return false;  // it may have looked quiet
        expect_drained(proxy, seen, End::reset);
        EXPECT_EQ(ticker.wait(), End::reset);
        return true;
    };
    EXPECT_TRUE(in_one_of_three_windows(attempt));
}

}  // namespace
}  // namespace penstock::test
