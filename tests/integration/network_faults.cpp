// What a network can do between the peers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/integration/scenario.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {
namespace {

constexpr std::uint64_t mib = 1 << 20;

std::string port_of(const std::string& address) { return address.substr(address.rfind(':') + 1); }

// Each of `count` clients echoes through two backends of which `bad` does not work; returns the
// lines.
std::vector<LogLine> echo_past_bad_backend(const ProxyProcess& proxy, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    return expect_lines(proxy, count);
}

// The attempts of connections that met b0 first, which must have failed with `error`.
std::vector<LogAttempt> first_failures(const std::vector<LogLine>& lines,
                                       const std::string& error) {
    std::vector<LogAttempt> failures;
    for (const LogLine& line : lines) {
        EXPECT_EQ(line.reason, "completed") << line.raw;
        EXPECT_EQ(line.backend, "b1") << line.raw;
        if (line.attempts.size() < 2) continue;
        EXPECT_EQ(line.attempts.size(), 2U) << line.raw;
        EXPECT_EQ(line.attempts[0].backend, "b0") << line.raw;
        EXPECT_EQ(line.attempts[0].error, error) << line.raw;
        EXPECT_EQ(line.attempts[1].error, "") << line.raw;
        failures.push_back(line.attempts[0]);
    }
    EXPECT_GE(failures.size(), 1U);
    return failures;
}

TEST(FaultsN, N3_black_hole_on_connect_times_out_and_the_next_backend_serves) {
    ScopedNetns netns;
    EchoServer hole, good;
    netns.add_rule("tcp dport " + port_of(hole.text()));
    // A loaded machine may take a while for the connection that works, too.
    ProxyProcess proxy(one_service({hole.text(), good.text()}, "", "connect_timeout = \"1s\""));
    const auto window = window_of(1s);
    for (const LogAttempt& attempt : first_failures(echo_past_bad_backend(proxy, 4), "timeout"))
        EXPECT_TRUE(window.contains(milliseconds(std::lround(attempt.ms)))) << attempt.ms;
    EXPECT_EQ(hole.accepted(), 0U);
}

TEST(FaultsN, N3_connect_to_a_full_backlog_times_out) {
    FullBacklog full;
    EchoServer good;
    ProxyProcess proxy(one_service({full.text(), good.text()}, "", "connect_timeout = \"1s\""));
    first_failures(echo_past_bad_backend(proxy, 4), "timeout");
}

TEST(FaultsN, N5_rejected_connects_go_to_the_next_backend_at_once) {
    ScopedNetns netns;
    EchoServer closed, good;
    netns.add_rule("tcp dport " + port_of(closed.text()), "reject with tcp reset");
    ProxyProcess proxy(one_service({closed.text(), good.text()}, "", "connect_timeout = \"1m\""));
    for (const LogAttempt& attempt : first_failures(echo_past_bad_backend(proxy, 4), "refused"))
        EXPECT_LT(attempt.ms, static_cast<double>(scaled(promptly).count()));
}

TEST(FaultsN, N5_unreachable_backend_is_skipped_at_once) {
    ScopedNetns netns;  // has no route to anywhere but loopback
    EchoServer good;
    ProxyProcess proxy(one_service({"192.0.2.1:80", good.text()}, "", "connect_timeout = \"1m\""));
    for (const LogAttempt& attempt : first_failures(echo_past_bad_backend(proxy, 4), "unreachable"))
        EXPECT_LT(attempt.ms, static_cast<double>(scaled(promptly).count()));
}

TEST(FaultsN, N6_reset_with_data_in_flight_reaches_the_other_side_as_a_reset) {
    Ledger ledger;
    // The first bytes of the backend tell the client that both legs are there.
    ChaosBackend reader(scripts::keyed(ledger, {.send = 100, .after_send = Plan::Then::nothing}));
    ChaosBackend resetter(
        scripts::keyed(ledger, {.send = mib, .after_send = Plan::Then::reset, .receive = false}));
    ConfigText config = one_service({reader.text()});
    config.services.push_back({.name = "from_backend", .backends = {resetter.text()}});
    ProxyProcess proxy(config);
    for (int i = 0; i < 10; ++i) {
        run_client(proxy.address(), ledger,
                   {.send = 4 * mib, .after_send = Plan::Then::nothing, .reset_at = 100});
        run_client(proxy.address("from_backend"), ledger,
                   {.send = 1000, .after_send = Plan::Then::nothing});
    }
    ASSERT_TRUE(wait_for([&] { return reader.finished() == 10 && resetter.finished() == 10; }));
    for (const ConnectionRecord& record : ledger.records()) {
        const bool by_client = record.client.sent_reset;
        const SideRecord& told = by_client ? record.backend : record.client;
        EXPECT_EQ(told.saw, End::reset) << (by_client ? "backend" : "client");
        ledger.update(record.id, [&](ConnectionRecord& r) {
            r.expected_reason = by_client ? "client_reset" : "backend_reset";
        });
    }
    expect_clean(ledger, proxy);
}

TEST(FaultsN, N6_reset_leaves_no_descriptor) {
    ChaosBackend resetter(scripts::reset_after(4));
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.services.push_back({.name = "resets", .backends = {resetter.text()}});
    ProxyProcess proxy(config);
    const std::size_t baseline = descriptor_baseline(proxy);
    for (int i = 0; i < 20; ++i) {
        auto client = established(proxy.address());
        ASSERT_TRUE(client);
        client->reset();
        auto victim = Socket::connect(proxy.address("resets"));
        ASSERT_TRUE(victim);
        victim->send("ping");
        EXPECT_EQ(victim->wait_end(), End::reset);
    }
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
    const auto lines = expect_lines(proxy, 41);
    EXPECT_EQ(std::ranges::count(lines, "client_reset", &LogLine::reason), 20);
    EXPECT_EQ(std::ranges::count(lines, "backend_reset", &LogLine::reason), 20);
}

TEST(FaultsN, N8_half_close_both_ways) {
    Ledger ledger;
    // One side sends all and finishes; only then does the other begin.
    ChaosBackend answers(scripts::keyed(ledger, {.send = 10 * mib, .send_after_end = true}));
    ChaosBackend begins(scripts::keyed(ledger, {.send = 10 * mib}));
    ConfigText config = one_service({answers.text()});
    config.services.push_back({.name = "begins", .backends = {begins.text()}});
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();
    for (int i = 0; i < 3; ++i) {
        run_client(proxy.address(), ledger, {.send = mib});
        // The id goes first, so that the backend knows what to send; the rest after its FIN.
        Socket socket;
        const ConnectionId id = run_client(
            proxy.address("begins"), ledger,
            {.send = ConnectionId::size, .after_send = Plan::Then::nothing}, {}, &socket);
        EXPECT_EQ(ledger.record(id).client.saw, End::fin);
        socket.finish();
        ledger.update(id, [](ConnectionRecord& record) { record.client.sent_fin = true; });
    }
    ASSERT_TRUE(wait_for([&] { return answers.finished() == 3 && begins.finished() == 3; }));
    for (const ConnectionRecord& record : ledger.records())
        EXPECT_EQ(record.client.received, 10 * mib);
    expect_clean(ledger, proxy);
    expect_descriptors(proxy, baseline);
}

TEST(FaultsN, N9_simultaneous_close) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 20'000}));
    ProxyProcess proxy(one_service({backend.text()}));
    const std::size_t baseline = proxy.descriptors();
    for (int i = 0; i < 50; ++i) run_client(proxy.address(), ledger, {.send = 20'000});
    ASSERT_TRUE(wait_for([&] { return backend.finished() == 50; }));
    expect_clean(ledger, proxy);
    expect_descriptors(proxy, baseline);
}

TEST(FaultsN, N9_close_with_50_MiB_pending_flushes_everything) {
    Ledger ledger;
    const auto amount = static_cast<std::uint64_t>(sized(50)) * mib;
    // The client ends at once after its last byte; the backend reads with pauses.
    ChaosBackend backend(scripts::keyed(ledger, {.receive_chunk = 1 << 20, .receive_pause = 5ms}));
    ProxyProcess proxy(one_service({backend.text()}));
    const ConnectionId id = run_client(proxy.address(), ledger, {.send = amount});
    ASSERT_TRUE(wait_for([&] { return backend.finished() == 1; }));
    EXPECT_EQ(ledger.record(id).backend.received, amount);
    expect_clean(ledger, proxy);
}

TEST(FaultsN, N10_single_byte_segments_and_a_tiny_window) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 20'000, .send_chunk = 1}));
    ProxyProcess proxy(one_service({backend.text()}));
    run_client(proxy.address(), ledger, {.send = 20'000, .send_chunk = 1}, {.no_delay = true});
    run_client(proxy.address(), ledger, {.send = 1'000, .receive_chunk = 1},
               {.receive_buffer = 1, .no_delay = true});
    ASSERT_TRUE(wait_for([&] { return backend.finished() == 2; }));
    expect_clean(ledger, proxy);
}

TEST(FaultsN, N11_a_slow_sink_bounds_the_memory_of_a_fast_source) {
    constexpr std::size_t connections = 20;
    const auto amount = static_cast<std::uint64_t>(sized(8, 4)) * mib;
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = amount}));
    ProxyProcess proxy(one_service({backend.text()}));
    ASSERT_TRUE(Socket::connect(proxy.address()));
    const std::uint64_t before = proxy.private_memory();

    std::vector<std::pair<ConnectionId, Socket>> clients;
    for (std::size_t i = 0; i < connections; ++i) {
        Socket socket;
        const ConnectionId id =
            run_client(proxy.address(), ledger,
                       {.send = 16, .after_send = Plan::Then::nothing, .receive = false},
                       {.receive_buffer = 4096}, &socket);
        clients.emplace_back(id, std::move(socket));
    }
    // Everything stands still once the proxy's CPU does.
    ASSERT_TRUE(wait_for([&] { return proxy.cpu_per_second(100ms) < scaled(10ms); }));
    constexpr std::uint64_t buffer = 64 * 1024;
    // The control plane has work of its own meanwhile. Without a bound it would be all of 160 MiB.
    const std::uint64_t slack = (sanitized ? 64 : 4) * mib;
    EXPECT_LT(proxy.private_memory(), before + connections * 2 * buffer + slack);

    std::vector<std::thread> readers;
    for (auto& client : clients)
        readers.emplace_back([&] {
            // The rest of a connection of which the client has sent its id.
            StreamVerifier verifier({client.first, Direction::to_client}, &ledger.streams());
            std::vector<std::byte> bytes(65536);
            std::ptrdiff_t n = 0;
            while ((n = client.second.receive(bytes)) > 0)
                verifier.feed(std::span(bytes).first(static_cast<std::size_t>(n)));
            client.second.finish();
            ledger.update(client.first, [&](ConnectionRecord& record) {
                record.client.received = verifier.received();
                record.client.mismatch = verifier.mismatch();
                record.client.saw = end_of(n);
                record.client.sent_fin = true;
            });
        });
    for (std::thread& reader : readers) reader.join();
    ASSERT_TRUE(wait_for([&] { return backend.finished() == backend.accepted(); }));
    for (const ConnectionRecord& record : ledger.records())
        EXPECT_EQ(record.client.received, amount);
    expect_clean(ledger, proxy, 1);
}

}  // namespace
}  // namespace penstock::test
