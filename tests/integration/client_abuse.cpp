// What clients can do, by accident or on purpose.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/integration/scenario.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {
namespace {

constexpr std::uint64_t mib = 1 << 20;

std::string source_of(std::size_t i) {
    // Many addresses of 127/8: more connections than one source has ports for.
    return "127.0.1." + std::to_string(1 + i % 200) + ":0";
}

std::vector<Socket> connect_many(const Address& to, std::size_t count) {
    std::vector<Socket> sockets;
    for (std::size_t i = 0; i < count; ++i) {
        auto socket = Socket::connect(to, {.source = source_of(i)});
        if (socket) sockets.push_back(std::move(*socket));
    }
    EXPECT_EQ(sockets.size(), count);
    return sockets;
}

TEST(FaultsA, A1_thousands_connect_and_send_nothing) {
    const auto count = static_cast<std::size_t>(sized(5000));
    EchoServer echo, other;
    ConfigText config = one_service({echo.text()}, "idle = \"2s\"", "", "backlog = 8192");
    config.services.push_back({.name = "other", .backends = {other.text()}});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const std::size_t baseline = descriptor_baseline(proxy, {"other"});
    Probe probe(proxy.address("other"));
    auto clients = connect_many(proxy.address(), count);
    for (Socket& client : clients) EXPECT_EQ(client.wait_end(), End::reset);
    const auto probed = probe.finish();
    expect_undisturbed(probed);

    const auto lines = expect_lines(proxy, count + probed.count + 1);
    std::size_t idle = 0;
    const auto window = window_of(2000ms);
    std::size_t outside = 0;
    for (const LogLine& line : lines) {
        if (line.listener != "in") continue;
        EXPECT_EQ(line.reason, "idle_timeout") << line.raw;
        const auto quiet =
            milliseconds(std::lround(line.duration_ms - line.connect_ms.value_or(0)) + 1);
        outside += !window.contains(quiet);
        ++idle;
    }
    EXPECT_EQ(outside, 0U) << "of " << count << " ended before " << window.earliest.count()
                           << " ms or after " << window.latest.count() << " ms";
    EXPECT_EQ(idle, count);
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
}

// Every state in which a connection can be left alone has a deadline.
TEST(FaultsA, A5_idle_in_every_state) {
    ScopedNetns netns;
    EchoServer hole;
    netns.add_rule("tcp dport " + hole.text().substr(hole.text().rfind(':') + 1));
    ChaosBackend silent(scripts::hang());
    ChaosBackend finishes([](Socket& socket, const ChaosBackend& me) {
        socket.finish();
        me.hold();
    });
    ChaosBackend floods([](Socket& socket, const ChaosBackend& me) {
        const std::string block(65536, 'x');
        while (!me.stopping() && socket.send(block, 50ms)) {
        }
        me.hold();
    });
    // In each state only the time-out under test is short.
    const std::string idle = "idle = \"400ms\"\nhalf_closed = \"5m\"";
    const std::string half_closed = "idle = \"5m\"\nhalf_closed = \"300ms\"";
    ConfigText config;
    config.services = {
        {.name = "connecting",
         .backends = {hole.text()},
         .upstream = "connect_timeout = \"350ms\"\nattempts = 1"},
        {.name = "established", .backends = {silent.text()}, .timeouts = idle},
        {.name = "client_finished", .backends = {silent.text()}, .timeouts = half_closed},
        {.name = "backend_finished", .backends = {finishes.text()}, .timeouts = half_closed},
        {.name = "flushing", .backends = {floods.text()}, .timeouts = idle}};
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();

    std::map<std::string, Socket> clients;
    for (const Service& service : config.services) {
        auto client = Socket::connect(proxy.address(service.name));
        ASSERT_TRUE(client);
        if (service.name == "client_finished") {
            client->send("all I have");
            client->finish();
        }
        clients.emplace(service.name, std::move(*client));
    }
    const std::map<std::string, std::pair<std::string, milliseconds>> expected{
        {"connecting", {"connect_failed", 350ms}},
        {"established", {"idle_timeout", 400ms}},
        {"client_finished", {"half_closed_timeout", 300ms}},
        {"backend_finished", {"half_closed_timeout", 300ms}},
        {"flushing", {"idle_timeout", 400ms}}};
    for (const LogLine& line : expect_lines(proxy, expected.size())) {
        const auto& [reason, after] = expected.at(line.listener);
        EXPECT_EQ(line.reason, reason) << line.raw;
        const auto took = milliseconds(std::lround(line.duration_ms));
        EXPECT_TRUE(window_of(after).contains(took)) << line.raw;
    }
    for (auto& [name, client] : clients) {
        std::uint64_t bytes = 0;
        // What was delivered before is still read; then the reset.
        EXPECT_EQ(client.wait_end(patience, &bytes),
                  name == "backend_finished" ? End::fin : End::reset)
            << name;
    }
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
}

class DuringConnect : public testing::Test {
protected:
    // Connects hang until the rule goes: the backend looks slow to accept.
    void hold_connects(const std::string& backend) {
        rule = netns.add_rule("tcp dport " + backend.substr(backend.rfind(':') + 1));
    }
    void let_connects_through() { netns.remove_rule(rule); }

    ScopedNetns netns;
    std::string rule;
};

using FaultsADuringConnect = DuringConnect;

TEST_F(FaultsADuringConnect, A6_data_and_fin_sent_during_connect_arrive) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 10'000, .send_after_end = true}));
    hold_connects(backend.text());
    ProxyProcess proxy(one_service({backend.text()}, "", "connect_timeout = \"1m\""));
    const ConnectionId id = ledger.open();
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ledger.update(id, [&](ConnectionRecord& r) {
        r.client_address = client->local().text();
        r.proxy_address = proxy.address().text();
    });
    // Everything and the FIN are under way before the backend can be reached.
    exchange(*client, id, Role::client, ledger, {.send = 30'000, .receive = false});
    let_connects_through();
    exchange(*client, id, Role::client, ledger, {.after_send = Plan::Then::nothing});
    ASSERT_TRUE(wait_for([&] { return backend.finished() == 1; }));
    EXPECT_EQ(ledger.record(id).backend.received, 30'000U);
    EXPECT_EQ(ledger.record(id).client.received, 10'000U);
    expect_clean(ledger, proxy);
}

TEST_F(FaultsADuringConnect, A6_reset_or_empty_fin_during_connect_cancels_it) {
    EchoServer backend;
    hold_connects(backend.text());
    ProxyProcess proxy(one_service({backend.text()}, "", "connect_timeout = \"1m\""));
    const std::size_t baseline = proxy.descriptors();
    auto leaves = Socket::connect(proxy.address());
    auto resets = Socket::connect(proxy.address());
    auto resets_after_data = Socket::connect(proxy.address());
    ASSERT_TRUE(leaves && resets && resets_after_data);
    resets_after_data->send("never mind");
    ASSERT_TRUE(wait_for([&] { return proxy.descriptors() == baseline + 6; }));
    leaves->close();
    resets->reset();
    resets_after_data->reset();
    for (const LogLine& line : expect_lines(proxy, 3)) {
        EXPECT_EQ(line.reason, "client_gone") << line.raw;
        EXPECT_EQ(line.closed_by, "client") << line.raw;
    }
    EXPECT_TRUE(proxy.descriptors_return_to(baseline));
    let_connects_through();
    // A connect that had not been cancelled would come through with the repeated SYN, before this
    // one.
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(backend.accepted(), 1U);
}

TEST(FaultsA, A7_half_closed_client_that_never_reads) {
    ChaosBackend silent(scripts::hang());
    ChaosBackend floods([](Socket& socket, const ChaosBackend& me) {
        const std::string block(65536, 'x');
        while (!me.stopping() && socket.send(block, 100ms)) {
        }
        me.hold();
    });
    const std::string timeouts = "half_closed = \"300ms\"\nidle = \"5m\"";
    ConfigText config = one_service({silent.text()}, timeouts);
    config.services.push_back(
        {.name = "floods", .backends = {floods.text()}, .timeouts = timeouts});
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();
    auto first = Socket::connect(proxy.address());
    auto second = Socket::connect(proxy.address("floods"));
    ASSERT_TRUE(first && second);
    // A FIN that nothing came before would be taken for a client that left.
    ASSERT_TRUE(first->send("x") && second->send("x"));
    first->finish();
    second->finish();
    for (const LogLine& line : expect_lines(proxy, 2)) {
        EXPECT_EQ(line.reason, "half_closed_timeout") << line.raw;
        const auto took = milliseconds(std::lround(line.duration_ms));
        EXPECT_TRUE(window_of(300ms).contains(took)) << line.raw;
    }
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
}

/// Connects, echoes, closes, again and again on several threads for a while; returns how many.
std::size_t churn(const Address& to, milliseconds span, std::size_t limit) {
    std::atomic<std::size_t> done = 0;
    std::atomic<std::size_t> failed = 0;
    const auto end = Clock::now() + span;
    const auto start = Clock::now();
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 2; ++t)
        threads.emplace_back([&, t] {
            for (std::size_t i = t; Clock::now() < end; i += 2) {
                const bool good = echo_once(to, patience, {.source = source_of(i)}).has_value();
                ++(good ? done : failed);
                // At most `limit` a second: wait for the turn of the next one.
                const auto pace = std::chrono::nanoseconds(1s) * done.load() / limit;
                std::this_thread::sleep_until(start +
                                              std::chrono::duration_cast<Clock::duration>(pace));
            }
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(failed, 0U);
    return done;
}

TEST(FaultsA, A8_churn_grows_neither_descriptors_nor_memory) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const std::size_t baseline = descriptor_baseline(proxy);
    const std::size_t most = churn(proxy.address(), 1s, 1'000'000);
    std::size_t total = most + 1;
    const auto some = [&] {
        total += churn(proxy.address(), 500ms, std::max<std::size_t>(most / 2, 1));
    };
    some();
    // A leak grows each time, unlike what the allocator keeps of a moment. Sanitizers keep freed
    // memory in quarantine.
    EXPECT_TRUE(in_one_of_three_windows([&] {
        const std::uint64_t before = proxy.private_memory();
        for (int round = 0; round < 3; ++round) some();
        const std::uint64_t later = proxy.private_memory();
        std::cout << "private memory: " << before << " -> " << later << "\n";
        return sanitized || later < before + mib;
    }));
    const auto lines = expect_lines(proxy, total);
    EXPECT_EQ(reasons_other_than(lines, "completed"), "");
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
}

TEST(FaultsA, A9_thousands_close_at_once) {
    const auto count = static_cast<std::size_t>(sized(4000));
    EchoServer echo, other;
    ConfigText config = one_service({echo.text()}, "", "", "backlog = 8192");
    config.services.push_back({.name = "other", .backends = {other.text()}});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const std::size_t baseline = descriptor_baseline(proxy, {"other"});
    auto clients = connect_many(proxy.address(), count);
    ASSERT_TRUE(wait_for([&] { return echo.open() >= count; }));
    Probe probe(proxy.address("other"));
    clients.clear();
    EXPECT_TRUE(wait_for([&] { return echo.open() == 0; }));
    const auto probed = probe.finish();
    expect_undisturbed(probed);
    const auto lines = expect_lines(proxy, count + probed.count + 1);
    EXPECT_EQ(reasons_other_than(lines, "completed"), "");
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
}

TEST(FaultsA, A10_aborts_before_and_around_accept) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    const std::size_t baseline = descriptor_baseline(proxy);
    std::size_t count = 1;
    for (int i = 0; i < 500; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        socket->reset();
        ++count;
    }
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(proxy.descriptors_return_to(baseline));
    // A reset in the queue may or may not be seen by accept: at most one line each, all valid.
    const auto lines = proxy.access_log().lines();
    EXPECT_LE(lines.size(), count + 1);
    const Verdict verdict = judge_lines(lines);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    for (const LogLine& line : lines)
        EXPECT_TRUE(line.reason == "client_gone" || line.reason == "client_reset" ||
                    line.reason == "completed")
            << line.raw;
}

TEST(FaultsA, A10_port_scans_do_no_harm) {
    ScopedNetns netns;
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    const std::size_t baseline = descriptor_baseline(proxy);
    const std::string port = std::to_string(proxy.address().port());
    for (const char* kind : {"-sS", "-sT", "-sN", "-sA"})
        run_program({"nmap", kind, "-n", "-Pn", "--max-retries", "1", "-p", port, "127.0.0.1"},
                    30s);
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(proxy.descriptors_return_to(baseline));
    const Verdict verdict = judge_lines(proxy.access_log().lines());
    EXPECT_TRUE(verdict.clean()) << verdict.text();
}

TEST(FaultsA, A15_a_bandwidth_hog_does_not_starve_light_users) {
    EchoServer echo;
    ChaosBackend source([](Socket& socket, const ChaosBackend& me) {
        const std::string block(1 << 20, 'x');
        while (!me.stopping() && socket.send(block)) {
        }
    });
    ConfigText config = one_service({echo.text()});
    config.services.push_back({.name = "bulk", .backends = {source.text()}});
    ProxyProcess proxy(config);
    std::vector<Socket> light;
    for (int i = 0; i < 200; ++i) {
        auto socket = established(proxy.address());
        ASSERT_TRUE(socket);
        light.push_back(std::move(*socket));
    }
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> bytes = 0;
    std::thread hog([&] {
        auto socket = Socket::connect(proxy.address("bulk"));
        std::vector<std::byte> buffer(1 << 20);
        while (socket && !stop) {
            const auto n = socket->receive(buffer);
            if (n <= 0) break;
            bytes += static_cast<std::uint64_t>(n);
        }
    });
    // Only while the hog is served can it starve others.
    EXPECT_TRUE(wait_for([&] { return bytes > 10 * mib; }));
    const std::uint64_t before = bytes;
    std::vector<milliseconds> times;
    for (int round = 0; round < 5; ++round)
        for (Socket& socket : light) {
            const auto start = Clock::now();
            EXPECT_TRUE(ping(socket));
            times.push_back(since(start));
        }
    EXPECT_TRUE(wait_for([&] { return bytes > before; }));
    stop = true;
    hog.join();
    std::ranges::sort(times);
    EXPECT_LT(times[times.size() * 99 / 100], scaled(3s));
}

}  // namespace
}  // namespace penstock::test
