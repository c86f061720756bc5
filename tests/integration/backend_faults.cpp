// What backends can do wrong.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/integration/scenario.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {
namespace {

constexpr std::uint64_t mib = 1 << 20;

TEST(FaultsB, B1_all_backends_refuse) {
    ClosedPort a, b, c;
    const std::vector<std::string> backends{a.address.text(), b.address.text(), c.address.text()};
    const std::string patient = "connect_timeout = \"1m\"";
    ConfigText config = one_service(backends, "", patient);
    config.services.push_back(
        {.name = "closes", .backends = backends, .upstream = patient + "\nno_backend = \"close\""});
    config.services.push_back(
        {.name = "once", .backends = backends, .upstream = patient + "\nattempts = 1"});
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();
    const auto end_at = [&](const char* listener) {
        const auto start = Clock::now();
        auto client = Socket::connect(proxy.address(listener));
        const End end = client ? client->wait_end() : End::failed;
        EXPECT_LT(since(start), scaled(promptly)) << listener;
        return end;
    };
    EXPECT_EQ(end_at("in"), End::reset);
    EXPECT_EQ(end_at("closes"), End::fin);
    EXPECT_EQ(end_at("once"), End::reset);
    for (const LogLine& line : expect_lines(proxy, 3)) {
        EXPECT_EQ(line.reason, "connect_failed") << line.raw;
        ASSERT_EQ(line.attempts.size(), line.listener == "once" ? 1U : 3U) << line.raw;
        std::set<std::string> tried;
        for (const LogAttempt& attempt : line.attempts) {
            EXPECT_EQ(attempt.error, "refused") << line.raw;
            tried.insert(attempt.backend);
        }
        EXPECT_EQ(tried.size(), line.attempts.size()) << "a backend twice: " << line.raw;
    }
    EXPECT_TRUE(proxy.descriptors_return_to(baseline));
}

TEST(FaultsB, B2_a_backend_that_never_reads_nor_writes_is_left_at_the_idle_timeout) {
    ChaosBackend backend(scripts::hang());
    ProxyProcess proxy(one_service({backend.text()}, "idle = \"300ms\""));
    const std::size_t baseline = proxy.descriptors();
    const auto start = Clock::now();
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    client->send("anybody there?");
    EXPECT_EQ(client->wait_end(), End::reset);
    EXPECT_TRUE(window_of(300ms).contains(since(start))) << since(start).count() << " ms";
    const auto lines = expect_lines(proxy, 1);
    EXPECT_EQ(lines.at(0).reason, "idle_timeout") << lines.at(0).raw;
    EXPECT_TRUE(proxy.descriptors_return_to(baseline));
}

TEST(FaultsB, B3_accept_then_reset_or_fin) {
    ChaosBackend resets(scripts::reset_at_once());
    ChaosBackend closes(scripts::close_at_once());
    ConfigText config = one_service({resets.text()});
    config.services.push_back({.name = "closes", .backends = {closes.text()}});
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();
    auto first = Socket::connect(proxy.address());
    ASSERT_TRUE(first);
    EXPECT_EQ(first->wait_end(), End::reset);
    auto second = Socket::connect(proxy.address("closes"));
    ASSERT_TRUE(second);
    EXPECT_EQ(second->wait_end(), End::fin);
    second->finish();
    for (const LogLine& line : expect_lines(proxy, 2)) {
        if (line.listener == "closes") {
            EXPECT_EQ(line.reason, "completed") << line.raw;
        } else {
            // The reset may come before the connection was seen as established.
            EXPECT_TRUE(line.reason == "backend_reset" || line.reason == "connect_failed")
                << line.raw;
        }
    }
    EXPECT_TRUE(proxy.descriptors_return_to(baseline));
}

TEST(FaultsB, B4_nothing_is_replayed_after_bytes_passed) {
    Ledger ledger;
    const Plan reads_then_resets{.after_send = Plan::Then::nothing, .reset_at = 5'000};
    ChaosBackend first(scripts::keyed(ledger, reads_then_resets));
    ChaosBackend second(scripts::keyed(ledger, reads_then_resets));
    ProxyProcess proxy(one_service({first.text(), second.text()}));
    for (int i = 0; i < 10; ++i) {
        const ConnectionId id =
            run_client(proxy.address(), ledger, {.send = 5'000, .after_send = Plan::Then::nothing});
        EXPECT_EQ(ledger.record(id).client.saw, End::reset);
        ledger.update(id, [](ConnectionRecord& r) { r.expected_reason = "backend_reset"; });
    }
    ASSERT_TRUE(wait_for([&] { return first.finished() + second.finished() == 10; }));
    EXPECT_EQ(first.accepted() + second.accepted(), 10U);  // no second attempt
    expect_clean(ledger, proxy);
}

/// An echo server in a process of its own.
struct BackendProcess {
    BackendProcess() : child({PENSTOCK_TEST_ECHO_BACKEND}) {
        const bool printed =
            wait_for([this] { return child.output().find('\n') != std::string::npos; });
        EXPECT_TRUE(printed) << child.errors();
        text = child.output().substr(0, child.output().find('\n'));
    }
    ChildProcess child;
    std::string text;
};

TEST(FaultsB, B5_killed_backend_under_500_connections) {
    const auto count = static_cast<std::size_t>(sized(500));
    BackendProcess victim;
    EchoServer survivor;
    ConfigText config = one_service({victim.text});
    config.services.push_back({.name = "both", .backends = {victim.text, survivor.text()}});
    config.services.push_back({.name = "other", .backends = {survivor.text()}});
    ProxyProcess proxy(config);
    const std::size_t baseline = descriptor_baseline(proxy, {"other"});
    Probe probe(proxy.address("other"));
    std::vector<Socket> clients;
    for (std::size_t i = 0; i < count; ++i) {
        auto client = established(proxy.address());
        ASSERT_TRUE(client);
        clients.push_back(std::move(*client));
    }
    victim.child.signal(SIGKILL);
    for (Socket& client : clients) EXPECT_NE(client.wait_end(), End::open);
    // Until the kernel has closed all that the dead process had, its listener still takes
    // connections.
    victim.child.wait_exit();
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(echo_once(proxy.address("both")));
    clients.clear();
    expect_undisturbed(probe.finish());
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
}

TEST(FaultsB, B9_nothing_eligible_is_decided_at_once_in_every_algorithm) {
    ClosedPort dead;
    EchoServer alive;
    ConfigText config = one_service({alive.text()});
    const std::string address = "address = \"" + alive.text() + "\"";
    struct Row {
        const char* name;
        std::string backend;
        const char* reason;
    };
    const std::vector<Row> rows{{"weightless", address + "\nweight = 0", "no_backend"},
                                {"draining", address + "\nstate = \"drain\"", "no_backend"},
                                {"resting", address + "\nstate = \"maintenance\"", "no_backend"},
                                {"dead", dead.address.text(), "connect_failed"}};
    std::vector<std::pair<std::string, std::string>> expected;
    for (const char* balance : {"round_robin", "least_connections", "p2c", "random"}) {
        for (const Row& row : rows) {
            const std::string name = std::string(balance) + "." + row.name;
            config.services.push_back({.name = name,
                                       .backends = std::vector(20, row.backend),
                                       .balance = balance,
                                       .upstream = "attempts = 2\nconnect_timeout = \"1m\""});
            expected.emplace_back(name, row.reason);
        }
    }
    ProxyProcess proxy(config);
    for (const auto& [name, reason] : expected) {
        const auto start = Clock::now();
        auto client = Socket::connect(proxy.address(name));
        ASSERT_TRUE(client) << name;
        EXPECT_EQ(client->wait_end(), End::reset) << name;
        EXPECT_LT(since(start), scaled(promptly)) << name;
    }
    const auto lines = expect_lines(proxy, expected.size());
    for (const auto& [name, reason] : expected) {
        const auto line = std::ranges::find(lines, name, &LogLine::listener);
        ASSERT_NE(line, lines.end()) << name;
        EXPECT_EQ(line->reason, reason) << line->raw;
    }
    EXPECT_EQ(alive.accepted(), 0U);
    expect_idle(proxy, 500ms);
}

TEST(FaultsB, B12_a_backend_that_greets_first_is_heard_at_once) {
    ChaosBackend backend(scripts::greet("220 mail ready\r\n"));
    ProxyProcess proxy(one_service({backend.text()}));
    for (int i = 0; i < 5; ++i) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        // The client says nothing before: whatever waited for it would wait for ever.
        EXPECT_EQ(client->receive_text(16), "220 mail ready\r\n");
        EXPECT_TRUE(ping(*client, "HELO\r\n"));
    }
    for (const LogLine& line : expect_lines(proxy, 5)) {
        ASSERT_TRUE(line.first_byte_ms) << line.raw;
        EXPECT_LE(*line.first_byte_ms, line.duration_ms) << line.raw;
    }
}

TEST(FaultsB, B13_a_backend_faster_than_the_client_is_flushed_before_the_close) {
    Ledger ledger;
    const auto amount = static_cast<std::uint64_t>(sized(50)) * mib;
    ChaosBackend backend(scripts::keyed(ledger, {.send = amount}));
    ProxyProcess proxy(one_service({backend.text()}));
    const std::size_t baseline = proxy.descriptors();
    const ConnectionId id = run_client(
        proxy.address(), ledger, {.send = 16, .receive_chunk = 1 << 20, .receive_pause = 5ms});
    ASSERT_TRUE(wait_for([&] { return backend.finished() == 1; }));
    EXPECT_EQ(ledger.record(id).client.received, amount);
    expect_clean(ledger, proxy);
    expect_descriptors(proxy, baseline);
}

TEST(FaultsB, B15_every_attempt_is_listed_with_its_own_error) {
    ScopedNetns netns;
    ClosedPort dead;
    EchoServer hole, good;
    netns.add_rule("tcp dport " + hole.text().substr(hole.text().rfind(':') + 1));
    // A loaded machine may take a while for the connection that works, too.
    ProxyProcess proxy(one_service({dead.address.text(), hole.text(), good.text()}, "",
                                   "connect_timeout = \"1s\"\nattempts = 3"));
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    std::size_t complete = 0;
    for (const LogLine& line : expect_lines(proxy, 6)) {
        EXPECT_EQ(line.reason, "completed") << line.raw;
        EXPECT_EQ(line.backend, "b2") << line.raw;
        std::set<std::string> tried;
        double total = 0;
        for (const LogAttempt& attempt : line.attempts) {
            const std::string expected = attempt.backend == "b0"   ? "refused"
                                         : attempt.backend == "b1" ? "timeout"
                                                                   : "";
            EXPECT_EQ(attempt.error, expected) << line.raw;
            EXPECT_TRUE(tried.insert(attempt.backend).second) << line.raw;
            total += attempt.ms;
        }
        EXPECT_LE(total, line.duration_ms + 1) << line.raw;
        complete += line.attempts.size() == 3;
    }
    EXPECT_GE(complete, 1U);
}

}  // namespace
}  // namespace penstock::test
