// Connections that are open before a client comes.
#include <gtest/gtest.h>

#include "tests/integration/scenario.hpp"
#include "tests/support/counting_backend.hpp"

namespace penstock::test {
namespace {

bool has_warm(CountingBackend& backend, std::size_t count) {
    return wait_for([&] { return backend.open() == count; }, 20s);
}

LogLine only_line(const ProxyProcess& proxy) {
    const auto lines = expect_lines(proxy, 1);
    return lines.empty() ? LogLine{} : lines[0];
}

TEST(WarmPool, min_idle_counts_over_all_workers) {
    CountingBackend a;
    CountingBackend b;
    ConfigText config = one_service({a.text(), b.text()}, "", "pool = { min_idle = 3 }");
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    EXPECT_TRUE(has_warm(a, 3)) << a.open();
    EXPECT_TRUE(has_warm(b, 3)) << b.open();
    EXPECT_EQ(a.peak(), 3U);
    EXPECT_EQ(b.peak(), 3U);
}

TEST(WarmPool, a_client_gets_a_warm_connection_and_it_is_replaced) {
    CountingBackend backend;
    ProxyProcess proxy(one_service({backend.text()}, "", "pool = { min_idle = 1 }"));
    ASSERT_TRUE(has_warm(backend, 1));
    auto client = established(proxy.address());
    ASSERT_TRUE(client);
    EXPECT_TRUE(has_warm(backend, 2)) << "the client's and the next one";
    client->finish();
    EXPECT_EQ(client->wait_end(), End::fin);
    const LogLine line = only_line(proxy);
    EXPECT_TRUE(line.warm) << line.raw;
    EXPECT_EQ(line.reason, "completed");
    ASSERT_TRUE(line.connect_ms);
    EXPECT_EQ(*line.connect_ms, 0) << "nobody waited for it";
}

TEST(WarmPool, what_the_server_said_first_is_delivered) {
    ChaosBackend backend(scripts::greet("220 ready\r\n"));
    ProxyProcess proxy(one_service({backend.text()}, "", "pool = { min_idle = 2 }"));
    ASSERT_TRUE(wait_for([&] { return backend.accepted() == 2; }));
    for (int i = 0; i < 4; ++i) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        EXPECT_EQ(client->receive_text(11), "220 ready\r\n");
        EXPECT_TRUE(ping(*client));
    }
}

TEST(WarmPool, a_large_greeting_arrives_whole) {
    const std::string greeting(200'000, 'g');
    ChaosBackend backend(scripts::greet(greeting));
    ProxyProcess proxy(one_service({backend.text()}, "", "pool = { min_idle = 1 }"));
    ASSERT_TRUE(wait_for([&] { return backend.accepted() == 1; }));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    EXPECT_EQ(client->receive_text(greeting.size(), 30s), greeting);
    EXPECT_TRUE(ping(*client));
}

TEST(WarmPool, one_that_died_is_never_handed_out_and_replaced) {
    for (const bool reset : {false, true}) {
        // The first connections are closed by the server once told; later ones echo.
        std::atomic<bool> close_now = false;
        std::atomic<unsigned> number = 0;
        ChaosBackend backend([&](Socket& socket, const ChaosBackend& self) {
            if (number++ < 2) {
                while (!close_now && !self.stopping()) std::this_thread::sleep_for(1ms);
                if (reset)
                    socket.reset();
                else
                    socket.close();
                return;
            }
            scripts::echo()(socket, self);
        });
        ProxyProcess proxy(one_service({backend.text()}, "", "pool = { min_idle = 2 }"));
        ASSERT_TRUE(wait_for([&] { return backend.accepted() == 2; }));
        close_now = true;
        ASSERT_TRUE(wait_for([&] { return backend.finished() == 2; }));
        for (int i = 0; i < 5; ++i) EXPECT_TRUE(echo_once(proxy.address(), 20s)) << reset << i;
        EXPECT_TRUE(wait_for([&] { return backend.accepted() >= 7; }, 20s));
        for (const LogLine& line : expect_lines(proxy, 5)) EXPECT_EQ(line.reason, "completed");
    }
}

TEST(WarmPool, one_that_is_too_old_is_replaced) {
    CountingBackend backend;
    ProxyProcess proxy(
        one_service({backend.text()}, "", "pool = { min_idle = 2, max_age = \"300ms\" }"));
    EXPECT_TRUE(wait_for([&] { return backend.accepted() >= 8; }, 30s));
    EXPECT_LE(backend.peak(), 2U);
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(WarmPool, a_server_that_closes_idle_connections_at_once_is_not_hammered) {
    ChaosBackend backend(scripts::close_at_once());
    ProxyProcess proxy(one_service({backend.text()}, "", "pool = { min_idle = 1 }"));
    ASSERT_TRUE(wait_for([&] { return backend.accepted() >= 3; }, 30s));
    // The pauses at least double from 50 ms: in any second that follows there are only a few.
    const unsigned before = backend.accepted();
    const auto start = Clock::now();
    ASSERT_TRUE(wait_for([&] { return since(start) >= 1s; }));
    EXPECT_LE(backend.accepted() - before, 8U * (1 + static_cast<unsigned>(since(start) / 1s)));
    expect_idle(proxy);
}

TEST(WarmPool, a_backend_that_is_gone_and_comes_back_is_met_again) {
    ChaosBackend backend(scripts::echo());
    backend.stop_listening();
    ProxyProcess proxy(one_service({backend.text()}, "", "pool = { min_idle = 2 }"));
    backend.start_listening();
    EXPECT_TRUE(wait_for([&] { return backend.accepted() == 2; }, 30s));
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(WarmPool, follows_the_arrival_rate_up_to_max_idle) {
    CountingBackend backend;
    ProxyProcess proxy(one_service({backend.text()}, "",
                                   "pool = { min_idle = 1, max_idle = 3, max_age = \"60s\" }"));
    ASSERT_TRUE(has_warm(backend, 1));
    // Loopback opens in no time, so that one is enough at any rate that this test could reach.
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(wait_for([&] { return backend.open() >= 1 && backend.open() <= 3; }));
    EXPECT_LE(backend.peak(), 4U);
}

// The workers that are asked first hold warm connections to a backend that is of no use to the
// client.
TEST(WarmPool, the_one_that_is_in_the_way_is_found_whoever_holds_it) {
    CountingBackend main;
    CountingBackend spare;
    ConfigText config = one_service({"address = \"" + main.text() + "\"\nmax_connections = 1",
                                     "address = \"" + spare.text() + "\"\ntier = 1"},
                                    "", "pool = { min_idle = 1 }\nqueue = { timeout = \"10m\" }");
    config.process = "workers = 3";
    ProxyProcess proxy(config);
    for (int i = 0; i < 10; ++i) {
        ASSERT_TRUE(has_warm(main, 1) && has_warm(spare, 1)) << i;
        ASSERT_TRUE(echo_once(proxy.address())) << i;
    }
    EXPECT_EQ(main.peak(), 1U);
}

TEST(WarmPool, a_stop_closes_all_of_them_at_once) {
    CountingBackend backend;
    ProxyProcess proxy(one_service({backend.text()}, "", "pool = { min_idle = 10 }"));
    ASSERT_TRUE(has_warm(backend, 10));
    proxy.stop();
    EXPECT_TRUE(has_warm(backend, 0));
}

TEST(WarmPool, unix_backends_have_one_too) {
    TempDir directory;
    CountingBackend backend("unix:" + (directory.path() / "b.sock").string());
    ProxyProcess proxy(one_service({backend.text()}, "", "pool = { min_idle = 1 }"));
    ASSERT_TRUE(wait_for([&] { return backend.accepted() == 1; }));
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(only_line(proxy).warm);
}

}  // namespace
}  // namespace penstock::test
