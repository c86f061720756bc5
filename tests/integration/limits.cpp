// Slots of backends and upstreams, and what becomes of clients for which there is none.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/integration/change_scenario.hpp"
#include "tests/integration/scenario.hpp"
#include "tests/support/counting_backend.hpp"

namespace penstock::test {
namespace {

std::string limited(const std::string& address, int most) {
    return "address = \"" + address + "\"\nmax_connections = " + std::to_string(most);
}

const LogLine* line_of(const std::vector<LogLine>& lines, const Socket& client) {
    const std::string address = client.local().text();
    const auto found =
        std::ranges::find_if(lines, [&](const LogLine& line) { return line.client == address; });
    return found == lines.end() ? nullptr : &*found;
}

Socket connected(const ProxyProcess& proxy) {
    auto socket = Socket::connect(proxy.address());
    EXPECT_TRUE(socket);
    return socket ? std::move(*socket) : Socket{};
}

/// A connection that the proxy has taken: no sooner can it wait, be passed over, or leave.
Socket accepted(const ProxyProcess& proxy) {
    const std::size_t before = proxy.descriptors();
    Socket socket = connected(proxy);
    EXPECT_TRUE(wait_for([&] { return proxy.descriptors() == before + 1; }));
    return socket;
}

TEST(Limits, a_client_waits_for_a_slot_and_gets_it) {
    CountingBackend backend;
    ProxyProcess proxy(
        one_service({limited(backend.text(), 1)}, "", "queue = { timeout = \"30s\" }"));
    auto first = established(proxy.address());
    ASSERT_TRUE(first);
    Socket second = accepted(proxy);
    ASSERT_TRUE(second.send("ping"));
    EXPECT_EQ(second.receive_text(1, 1s), "") << "the only slot is taken";
    first->finish();
    EXPECT_EQ(second.receive_text(4), "ping");
    EXPECT_EQ(backend.peak(), 1U);
    second.finish();
    EXPECT_EQ(second.wait_end(), End::fin);
    const auto lines = expect_lines(proxy, 2);
    const LogLine* waited = line_of(lines, second);
    ASSERT_NE(waited, nullptr);
    EXPECT_EQ(waited->reason, "completed");
    ASSERT_TRUE(waited->queue_ms) << waited->raw;
    EXPECT_GT(*waited->queue_ms, 100)
        << "it asked in vain for a second, and its clock began about then";
    const LogLine* served = line_of(lines, *first);
    ASSERT_NE(served, nullptr);
    EXPECT_FALSE(served->queue_ms) << served->raw;
}

TEST(Limits, a_wait_ends_at_its_deadline_with_queue_timeout) {
    CountingBackend backend;
    ProxyProcess proxy(
        one_service({limited(backend.text(), 1)}, "", "queue = { timeout = \"200ms\" }"));
    auto first = established(proxy.address());
    ASSERT_TRUE(first);
    const auto start = Clock::now();
    Socket second = connected(proxy);
    EXPECT_EQ(second.wait_end(), End::reset);
    EXPECT_GE(since(start), 200ms);
    EXPECT_TRUE(ping(*first)) << "others are not disturbed";
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "queue_timeout");
}

TEST(Limits, the_line_is_bounded_and_says_queue_full) {
    CountingBackend backend;
    ProxyProcess proxy(one_service({limited(backend.text(), 1)}, "",
                                   "no_backend = \"close\"\n"
                                   "queue = { max_length = 1, timeout = \"60s\" }"));
    auto first = established(proxy.address());
    ASSERT_TRUE(first);
    Socket second = connected(proxy);
    // The second waits once the third is refused; which of the two came first is the kernel's
    // choice.
    Socket third = connected(proxy);
    ASSERT_TRUE(wait_for([&] { return !proxy.access_log().lines().empty(); }));
    const auto lines = expect_lines(proxy, 1);
    EXPECT_EQ(lines.at(0).reason, "queue_full");
    Socket& refused = line_of(lines, third) != nullptr ? third : second;
    Socket& waiting = &refused == &third ? second : third;
    EXPECT_EQ(refused.wait_end(), End::fin) << "no_backend = close";
    first->finish();
    EXPECT_TRUE(ping(waiting, "ping", 20s));
}

TEST(Limits, without_a_queue_a_client_is_refused_at_once) {
    CountingBackend backend;
    ProxyProcess proxy(one_service({limited(backend.text(), 1)}, "", "queue = { max_length = 0 }"));
    auto first = established(proxy.address());
    ASSERT_TRUE(first);
    Socket second = connected(proxy);
    EXPECT_EQ(second.wait_end(), End::reset);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "queue_full");
}

TEST(Limits, who_leaves_the_line_gives_up_its_place) {
    CountingBackend backend;
    ProxyProcess proxy(one_service({limited(backend.text(), 1)}, "",
                                   "queue = { max_length = 1, timeout = \"60s\" }"));
    auto first = established(proxy.address());
    ASSERT_TRUE(first);
    {
        Socket second = accepted(proxy);
        second.reset();
    }
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "client_gone");
    Socket third = connected(proxy);
    first->finish();
    EXPECT_TRUE(ping(third, "ping", 20s));
}

TEST(Limits, half_closed_with_data_stays_in_the_line) {
    CountingBackend backend;
    ProxyProcess proxy(
        one_service({limited(backend.text(), 1)}, "", "queue = { timeout = \"60s\" }"));
    auto first = established(proxy.address());
    ASSERT_TRUE(first);
    Socket second = connected(proxy);
    ASSERT_TRUE(second.send("the question"));
    second.finish();
    EXPECT_EQ(second.receive_text(1, 200ms), "");
    first->finish();
    EXPECT_EQ(second.receive_text(12, 20s), "the question");
    EXPECT_EQ(second.wait_end(), End::fin);
}

TEST(Limits, the_line_is_served_in_the_order_of_arrival) {
    CountingBackend backend;
    ProxyProcess proxy(
        one_service({limited(backend.text(), 1)}, "", "queue = { timeout = \"120s\" }"));
    auto holder = established(proxy.address());
    ASSERT_TRUE(holder);
    std::vector<Socket> waiting;
    for (int i = 0; i < 5; ++i) {
        waiting.push_back(accepted(proxy));  // in the line before the next one comes
        ASSERT_TRUE(waiting.back().send("ping"));
        EXPECT_EQ(waiting.back().receive_text(1, 50ms), "");
    }
    holder->finish();
    for (std::size_t i = 0; i < waiting.size(); ++i) {
        EXPECT_EQ(waiting[i].receive_text(4, 20s), "ping") << i;
        waiting[i].finish();
        EXPECT_EQ(waiting[i].wait_end(), End::fin) << i;
    }
    EXPECT_EQ(backend.peak(), 1U);
}

TEST(Limits, adaptive_lifo_serves_the_newest_of_a_standing_line) {
    CountingBackend backend;
    ProxyProcess proxy(one_service({limited(backend.text(), 1)}, "",
                                   "queue = { timeout = \"120s\", policy = \"adaptive_lifo\" }"));
    auto holder = established(proxy.address());
    ASSERT_TRUE(holder);
    std::vector<Socket> waiting;
    for (int i = 0; i < 4; ++i) {
        waiting.push_back(accepted(proxy));
        ASSERT_TRUE(waiting.back().send("ping"));
        EXPECT_EQ(waiting.back().receive_text(1, 60ms), "") << "so the line stands for longer";
    }
    holder->finish();
    for (auto client = waiting.rbegin(); client != waiting.rend(); ++client) {
        EXPECT_EQ(client->receive_text(4, 20s), "ping");
        client->finish();
        EXPECT_EQ(client->wait_end(), End::fin);
    }
}

TEST(Limits, an_upstream_counts_all_its_backends) {
    CountingBackend a;
    CountingBackend b;
    ProxyProcess proxy(one_service({a.text(), b.text()}, "",
                                   "max_connections = 3\nqueue = { timeout = \"60s\" }"));
    std::vector<Socket> held;
    for (int i = 0; i < 3; ++i) {
        auto socket = established(proxy.address());
        ASSERT_TRUE(socket);
        held.push_back(std::move(*socket));
    }
    Socket fourth = connected(proxy);
    ASSERT_TRUE(fourth.send("ping"));
    EXPECT_EQ(fourth.receive_text(1, 200ms), "");
    EXPECT_EQ(a.open() + b.open(), 3U);
    held.pop_back();
    EXPECT_EQ(fourth.receive_text(4, 20s), "ping");
}

TEST(Limits, a_full_backend_is_passed_over_while_another_has_room) {
    CountingBackend small;
    CountingBackend large;
    ProxyProcess proxy(one_service({limited(small.text(), 1), large.text()}));
    std::vector<Socket> held;
    for (int i = 0; i < 10; ++i) {
        auto socket = established(proxy.address());
        ASSERT_TRUE(socket);
        held.push_back(std::move(*socket));
    }
    EXPECT_EQ(small.peak(), 1U);
    EXPECT_EQ(large.peak(), 9U);
}

TEST(Limits, a_full_tier_makes_clients_wait_unless_it_may_spill) {
    for (const bool spill : {false, true}) {
        CountingBackend main;
        CountingBackend spare;
        ProxyProcess proxy(one_service(
            {limited(main.text(), 1), "address = \"" + spare.text() + "\"\ntier = 1"}, "",
            std::string("queue = { timeout = \"60s\" }\nspill_when_full = ") +
                (spill ? "true" : "false")));
        auto first = established(proxy.address());
        ASSERT_TRUE(first);
        Socket second = connected(proxy);
        ASSERT_TRUE(second.send("ping"));
        EXPECT_EQ(second.receive_text(4, spill ? 10s : 200ms), spill ? "ping" : "");
        EXPECT_EQ(spare.accepted(), spill ? 1U : 0U);
        first->finish();
        if (!spill) {
            EXPECT_EQ(second.receive_text(4, 20s), "ping");
        }
    }
}

TEST(Limits, attempts_at_a_time_are_bounded) {
    // Attempts to it never end: two take the two slots for connecting, the third waits in the line.
    FullBacklog full;
    ProxyProcess proxy(one_service({full.text()}, "",
                                   "max_connecting_per_backend = 2\nconnect_timeout = \"60s\"\n"
                                   "queue = { timeout = \"300ms\" }"));
    Socket a = connected(proxy);
    Socket b = connected(proxy);
    Socket c = connected(proxy);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "queue_timeout");
}

TEST(Limits, B9_every_policy_ends_when_all_are_full_or_without_weight) {
    for (const char* policy : {"round_robin", "least_connections", "p2c", "random", "least_latency",
                               "maglev", "ring_hash", "first"}) {
        CountingBackend a;
        CountingBackend b;
        ConfigText config = one_service({limited(a.text(), 1), limited(b.text(), 1)}, "",
                                        "queue = { max_length = 0 }");
        config.services[0].balance = policy;
        Service none{.name = "none",
                     .backends = {"address = \"" + a.text() + "\"\nweight = 0",
                                  "address = \"" + b.text() + "\"\nstate = \"drain\""},
                     .balance = policy};
        config.services.push_back(none);
        ProxyProcess proxy(config);
        auto first = established(proxy.address());
        auto second = established(proxy.address());
        ASSERT_TRUE(first && second) << policy;
        EXPECT_EQ(connected(proxy).wait_end(), End::reset) << policy;
        auto nobody = Socket::connect(proxy.address("none"));
        ASSERT_TRUE(nobody);
        EXPECT_EQ(nobody->wait_end(), End::reset) << policy;
        const auto lines = expect_lines(proxy, 2);
        EXPECT_EQ(lines.at(0).reason, "queue_full") << policy;
        EXPECT_EQ(lines.at(1).reason, "no_backend") << policy;
        EXPECT_TRUE(ping(*first) && ping(*second)) << policy;
        expect_idle(proxy);
    }
}

TEST(Limits, held_clients_wait_for_a_backend_until_their_deadline) {
    EchoServer echo;
    ProxyProcess proxy(
        one_service({"address = \"" + echo.text() + "\"\nstate = \"maintenance\""}, "",
                    "no_backend = \"hold\"\nhold = { timeout = \"2s\", max_length = 1 }"));
    const auto start = Clock::now();
    Socket first = connected(proxy);
    Socket second = connected(proxy);
    EXPECT_EQ(first.wait_end(), End::reset);
    EXPECT_EQ(second.wait_end(), End::reset);
    EXPECT_GE(since(start), 2s) << "one was held";
    const auto lines = expect_lines(proxy, 2);
    EXPECT_EQ(lines.at(0).reason, "no_backend");
    EXPECT_EQ(lines.at(1).reason, "no_backend");
    EXPECT_FALSE(lines.at(0).queue_ms) << "there was no place for it";
    ASSERT_TRUE(lines.at(1).queue_ms);
    EXPECT_GE(*lines.at(1).queue_ms, 2000);
}

TEST(Limits, retries_stay_within_their_budget) {
    // Every attempt fails slowly, so that many sessions want a retry at a time: three are allowed.
    FullBacklog full;
    ProxyProcess proxy(one_service({full.text()}, "",
                                   "connect_timeout = \"300ms\"\nattempts = 5\nretry_budget = 0.0\n"
                                   "retry_backoff = { base = \"1ms\", max = \"1ms\" }"));
    std::vector<Socket> clients;
    for (int i = 0; i < 12; ++i) clients.push_back(connected(proxy));
    std::size_t single = 0;
    for (const LogLine& line : expect_lines(proxy, 12, 30s)) {
        EXPECT_EQ(line.reason, "connect_failed");
        if (line.attempts.size() == 1) ++single;
    }
    EXPECT_GE(single, 1U) << "not everybody may try again";
    EXPECT_LT(single, 12U) << "and somebody may";
}

/// The process is larger than this limit from the start.
TEST(MemoryLimit, above_it_new_connections_are_refused_until_it_is_over) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    auto inside = established(proxy.address());
    ASSERT_TRUE(inside);
    EXPECT_EQ(metrics_of(proxy).value("penstock_overload_active"), 0);
    const auto overload_is = [&](bool active) {
        return wait_for([&] { return status_of(proxy).at("memory").at("overload") == active; });
    };

    const ConfigText before = config;
    config.process += "\nmemory_limit = \"1MiB\"";
    ASSERT_TRUE(proxy.change_to(config));
    ASSERT_TRUE(overload_is(true));
    auto refused = Socket::connect(proxy.address());
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->wait_end(20s), End::reset);
    EXPECT_TRUE(ping(*inside)) << "what lives goes on";
    const auto lines = expect_lines(proxy, 1);
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_EQ(lines[0].reason, "overload");
    const MetricsPage page = metrics_of(proxy);
    EXPECT_EQ(page.value("penstock_memory_limit_bytes"), 1 << 20);
    EXPECT_EQ(page.value("penstock_overload_active"), 1);
    EXPECT_EQ(page.value("penstock_listener_refused_total{listener=\"in\",reason=\"overload\"}"),
              1);
    EXPECT_TRUE(proxy.says("process.memory_limit")) << proxy.errors();

    ASSERT_TRUE(proxy.change_to(before));
    ASSERT_TRUE(overload_is(false));
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(ping(*inside));
    std::vector<std::string> told;
    const auto events = get_json(proxy.admin(), "/api/v1/events");
    for (const auto& event : events.as_array())
        if (event.at("kind") == "overload") told.push_back(text(event.at("detail")));
    ASSERT_EQ(told.size(), 2U);
    EXPECT_NE(told[0].find("new connections are refused"), std::string::npos) << told[0];
    EXPECT_NE(told[1].find("let in again"), std::string::npos) << told[1];
}

}  // namespace
}  // namespace penstock::test
