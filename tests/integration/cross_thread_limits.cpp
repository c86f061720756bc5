// Limits that workers share: never exceeded by one, and no slot stays free beside a waiting client.
#include <gtest/gtest.h>

#include "tests/integration/scenario.hpp"
#include "tests/support/counting_backend.hpp"

namespace penstock::test {
namespace {

struct Crowd {
    int clients = 16;
    int rounds = 40;
    int leavers = 0;  // of them, how many give up in the line now and then
};

// Each client connects, echoes and closes, again and again. Returns how many round trips failed.
int run_crowd(const Address& proxy, const Crowd& crowd) {
    std::atomic<int> failed = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < crowd.clients; ++i)
            threads.emplace_back([&, i] {
                for (int round = 0; round < crowd.rounds; ++round) {
                    if (i < crowd.leavers && round % 3 == 1) {
                        auto socket = Socket::connect(proxy);
                        if (socket) socket->reset();
                    } else if (!echo_once(proxy, 60s)) {
                        ++failed;
                    }
                }
            });
    }
    return failed;
}

ConfigText four_workers(std::vector<std::string> backends, std::string upstream) {
    ConfigText config = one_service(std::move(backends), "",
                                    "queue = { timeout = \"120s\" }\n" + std::move(upstream));
    config.process = "workers = 4";
    return config;
}

std::string limited(const std::string& address, int most) {
    return "address = \"" + address + "\"\nmax_connections = " + std::to_string(most);
}

TEST(CrossThreadLimits, a_backends_limit_holds_and_everybody_is_served) {
    CountingBackend a;
    CountingBackend b;
    ProxyProcess proxy(four_workers({limited(a.text(), 2), limited(b.text(), 1)}, ""));
    EXPECT_EQ(run_crowd(proxy.address(), {.rounds = sized(160, 16), .leavers = 4}), 0);
    EXPECT_LE(a.peak(), 2U);
    EXPECT_LE(b.peak(), 1U);
    EXPECT_GT(b.accepted(), 0U);
}

TEST(CrossThreadLimits, every_policy_holds_the_limit) {
    for (const char* policy :
         {"least_connections", "p2c", "random", "least_latency", "maglev", "ring_hash", "first"}) {
        CountingBackend a;
        CountingBackend b;
        ConfigText config = four_workers({limited(a.text(), 2), limited(b.text(), 2)}, "");
        config.services[0].balance = policy;
        ProxyProcess proxy(config);
        EXPECT_EQ(run_crowd(proxy.address(), {.clients = 12, .rounds = sized(40, 8)}), 0) << policy;
        EXPECT_LE(a.peak(), 2U) << policy;
        EXPECT_LE(b.peak(), 2U) << policy;
    }
}

TEST(CrossThreadLimits, an_upstreams_limit_holds_and_everybody_is_served) {
    CountingBackend a;
    CountingBackend b;
    ProxyProcess proxy(four_workers({a.text(), b.text()}, "max_connections = 3"));
    EXPECT_EQ(run_crowd(proxy.address(), {.rounds = sized(160, 16), .leavers = 4}), 0);
    // One of them may have been closed while the other opened: each alone is exact.
    EXPECT_LE(a.peak(), 3U);
    EXPECT_LE(b.peak(), 3U);
}

TEST(CrossThreadLimits, attempts_at_a_time_are_bounded_and_everybody_is_served) {
    CountingBackend a;
    ProxyProcess proxy(four_workers({limited(a.text(), 3)},
                                    "max_connecting_per_backend = 1\nmax_connections = 3"));
    EXPECT_EQ(run_crowd(proxy.address(), {.rounds = sized(160, 16), .leavers = 4}), 0);
    EXPECT_LE(a.peak(), 3U);
}

TEST(CrossThreadLimits, adaptive_lifo_serves_everybody_in_the_end) {
    CountingBackend a;
    ConfigText config = one_service({limited(a.text(), 2)}, "",
                                    "queue = { timeout = \"120s\", policy = \"adaptive_lifo\" }");
    config.process = "workers = 4";
    ProxyProcess proxy(config);
    EXPECT_EQ(run_crowd(proxy.address(), {.rounds = sized(160, 16), .leavers = 4}), 0);
    EXPECT_LE(a.peak(), 2U);
}

TEST(CrossThreadLimits, warm_connections_count_and_give_way) {
    CountingBackend a;
    ProxyProcess proxy(four_workers({limited(a.text(), 4)},
                                    "pool = { min_idle = 4, max_idle = 8, max_age = \"1s\" }"));
    EXPECT_EQ(run_crowd(proxy.address(), {.rounds = sized(160, 16), .leavers = 4}), 0);
    EXPECT_LE(a.peak(), 4U);
    // Four at a time get through although the pool would like to keep all four slots.
    std::vector<Socket> held;
    for (int i = 0; i < 4; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        ASSERT_TRUE(ping(*socket, "ping", 30s)) << i;
        held.push_back(std::move(*socket));
    }
    EXPECT_LE(a.peak(), 4U);
}

TEST(CrossThreadLimits, warm_connections_give_way_to_an_upstreams_limit) {
    CountingBackend a;
    CountingBackend b;
    ProxyProcess proxy(four_workers({a.text(), b.text()},
                                    "max_connections = 4\npool = { min_idle = 4, max_idle = 4 }"));
    EXPECT_EQ(run_crowd(proxy.address(), {.rounds = sized(100, 12), .leavers = 4}), 0);
    std::vector<Socket> held;
    for (int i = 0; i < 4; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        ASSERT_TRUE(ping(*socket, "ping", 30s)) << i;
        held.push_back(std::move(*socket));
    }
}

}  // namespace
}  // namespace penstock::test
