// The limits of a listener over several workers: exact under load.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/integration/scenario.hpp"
#include "tests/support/counting_backend.hpp"

namespace penstock::test {
namespace {

ConfigText four_workers(const std::string& backend, std::string listener) {
    ConfigText config = one_service({backend}, "", "", std::move(listener));
    config.process = "workers = 4";
    return config;
}

/// `clients` threads connect, echo and close `rounds` times each; returns how many were served.
int run_crowd(const Address& proxy, int clients, int rounds) {
    std::atomic<int> served = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < clients; ++i)
            threads.emplace_back([&] {
                for (int round = 0; round < rounds; ++round)
                    if (echo_once(proxy, 30s)) ++served;
            });
    }
    return served;
}

TEST(CrossThreadGate, connections_of_a_source) {
    CountingBackend backend;
    ProxyProcess proxy(four_workers(backend.text(), "max_connections_per_source = 3"));
    const int served = run_crowd(proxy.address(), 12, sized(60, 6));
    EXPECT_GT(served, 0);
    EXPECT_LE(backend.peak(), 3U);
    EXPECT_EQ(backend.accepted(), static_cast<unsigned>(served));
    // None is left behind: three at once enter again.
    ASSERT_TRUE(wait_for([&] { return backend.open() == 0; }, 20s));
    ASSERT_TRUE(wait_for(
        [&] {
            const auto lines = proxy.access_log().lines();
            return std::ranges::count(lines, "completed", &LogLine::reason) == served;
        },
        20s));
    std::vector<Socket> inside;
    for (int i = 0; i < 3; ++i) {
        auto socket = established(proxy.address());
        ASSERT_TRUE(socket) << i;
        inside.push_back(std::move(*socket));
    }
    EXPECT_FALSE(established(proxy.address()));
}

TEST(CrossThreadGate, tokens_of_a_source_and_of_the_listener) {
    for (const char* key : {"accept_rate_per_source", "accept_rate"}) {
        CountingBackend backend;
        ProxyProcess proxy(four_workers(backend.text(), std::string(key) + " = \"1/h burst 50\""));
        EXPECT_EQ(run_crowd(proxy.address(), 8, 20), 50) << key;
        EXPECT_EQ(backend.accepted(), 50U) << key;
    }
}

TEST(CrossThreadGate, slots_of_the_listener) {
    CountingBackend backend;
    ProxyProcess proxy(four_workers(backend.text(), "max_connections = 3\non_limit = \"wait\""));
    EXPECT_EQ(run_crowd(proxy.address(), 8, sized(30, 5)), 8 * sized(30, 5));
    EXPECT_LE(backend.peak(), 3U);
}

}  // namespace
}  // namespace penstock::test
