// Rates of a listener: never exceeded, nearly reached, and in nobody's way when a connection ends.
#include <gtest/gtest.h>

#include "tests/integration/scenario.hpp"
#include "tests/support/strace.hpp"

namespace penstock::test {
namespace {

constexpr std::uint64_t kib = 1 << 10;
constexpr std::uint64_t mib = 1 << 20;

/// `bytes` that came within `took`, the time to connect included, at `rate` bytes per second: not
/// more than the rate and its burst of 50 ms, and at least a third of it on any machine.
void expect_rate(std::uint64_t rate, std::uint64_t bytes, milliseconds took) {
    const double seconds = static_cast<double>(took.count() + 1) / 1000;
    const double allowed = static_cast<double>(rate) * (seconds + 0.05) + 1;
    EXPECT_LE(static_cast<double>(bytes), allowed) << "in " << took.count() << " ms";
    EXPECT_GE(static_cast<double>(bytes) * 3 * time_scale, static_cast<double>(rate) * seconds)
        << "in " << took.count() << " ms";
}

struct Timed {
    ConnectionId id;
    milliseconds took{};
};
Timed timed_client(const Address& proxy, Ledger& ledger, const Plan& plan) {
    const auto start = Clock::now();
    const ConnectionId id = run_client(proxy, ledger, plan);
    return {id, since(start)};
}

/// What a scripted backend sends before it waits, resets or finishes, as its script says.
ChaosBackend::Script sends(std::size_t size, void (*then)(Socket&, const ChaosBackend&)) {
    return [size, then](Socket& socket, const ChaosBackend& backend) {
        socket.send(std::string(size, 'x'));
        then(socket, backend);
    };
}
void waits(Socket& socket, const ChaosBackend& backend) { backend.wait_end(socket); }

TEST(Bandwidth, a_download_keeps_its_rate_and_arrives_exactly) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 3 * mib}));
    ProxyProcess proxy(one_service({backend.text()}, "", "", "download_rate = \"1MiB/s\""));
    const auto [id, took] = timed_client(proxy.address(), ledger, {.send = 1000});
    EXPECT_EQ(ledger.record(id).client.received, 3 * mib);
    expect_rate(mib, 3 * mib, took);
    expect_clean(ledger, proxy);
}

TEST(Bandwidth, an_upload_keeps_its_rate_and_arrives_exactly) {
    Ledger ledger;
    // The backend's answer ends only after the client's stream has.
    ChaosBackend backend(scripts::keyed(ledger, {.send = 10, .send_after_end = true}));
    ProxyProcess proxy(one_service({backend.text()}, "", "", "upload_rate = \"1MiB/s\""));
    const auto [id, took] = timed_client(proxy.address(), ledger, {.send = 3 * mib});
    ASSERT_TRUE(wait_for([&] { return backend.finished() == 1; }));
    EXPECT_EQ(ledger.record(id).backend.received, 3 * mib);
    expect_rate(mib, 3 * mib, took);
    expect_clean(ledger, proxy);
}

TEST(Bandwidth, each_connection_and_direction_has_a_rate_of_its_own) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 1 * mib}));
    ProxyProcess proxy(one_service({backend.text()}, "", "",
                                   "download_rate = \"512KiB/s\"\nupload_rate = \"256KiB/s\""));
    constexpr unsigned count = 4;
    const auto start = Clock::now();
    std::array<milliseconds, count> took{};
    {
        std::vector<std::jthread> clients;
        for (auto& time : took)
            clients.emplace_back(
                [&] { time = timed_client(proxy.address(), ledger, {.send = 768 * kib}).took; });
    }
    for (const auto time : took) expect_rate(512 * kib, 1 * mib, time);
    // Clients have all they get; what they sent is under way for another second.
    ASSERT_TRUE(wait_for([&] { return backend.finished() == count; }, 20s));
    expect_rate(256 * kib, 768 * kib, since(start));
    for (const auto& record : ledger.records()) {
        EXPECT_EQ(record.client.received, 1 * mib);
        EXPECT_EQ(record.backend.received, 768 * kib);
    }
    expect_clean(ledger, proxy);
}

TEST(Bandwidth, bulk_is_spliced_in_portions) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 48 * mib}));
    ProxyProcess proxy(one_service({backend.text()}, "", "", "download_rate = \"16MiB/s\""));
    const Strace trace(proxy.pid(), {"trace=splice"});
    const auto [id, took] =
        timed_client(proxy.address(), ledger, {.send = 1000, .deadline = 60'000ms});
    EXPECT_EQ(ledger.record(id).client.received, 48 * mib);
    EXPECT_GT(trace.calls(), 100U);
    // Tracing slows the proxy down: what matters here is the upper bound.
    EXPECT_GE(took, 2900ms);
    expect_clean(ledger, proxy);
}

TEST(Bandwidth, a_slow_reader_gets_no_burst_for_its_pauses) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 2 * mib}));
    ProxyProcess proxy(one_service({backend.text()}, "", "", "download_rate = \"1MiB/s\""));
    const auto start = Clock::now();
    run_client(proxy.address(), ledger,
               {.send = 100, .receive_chunk = 20'000, .receive_pause = 10ms},
               {.receive_buffer = 8192});
    expect_rate(mib, 2 * mib, since(start));
    expect_clean(ledger, proxy);
}

TEST(Bandwidth, a_byte_a_second_is_neither_idle_nor_half_closed) {
    ChaosBackend backend(sends(3, [](Socket& socket, const ChaosBackend& self) {
        socket.finish();
        self.wait_end(socket);
    }));
    ProxyProcess proxy(one_service({backend.text()}, "idle = \"300ms\"\nhalf_closed = \"300ms\"",
                                   "", "download_rate = \"1B/s\""));
    const auto start = Clock::now();
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(client->send("q"));
    client->finish();
    EXPECT_EQ(client->receive_text(3, 20s), "xxx");
    EXPECT_GE(since(start), 1999ms) << "the first one is the burst";
    EXPECT_EQ(client->wait_end(), End::fin);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "completed");
}

TEST(Bandwidth, a_connection_without_traffic_is_idle_as_ever) {
    ChaosBackend backend(sends(100'000, waits));
    ProxyProcess proxy(one_service({backend.text()}, "idle = \"300ms\"", "",
                                   "download_rate = \"100KiB/s\"\nupload_rate = \"1B/s\""));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    std::uint64_t received = 0;
    EXPECT_EQ(client->wait_end(20s, &received), End::reset);
    EXPECT_EQ(received, 100'000U);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "idle_timeout");
}

TEST(Bandwidth, a_pause_costs_nothing) {
    ChaosBackend backend(sends(60'000, waits));
    ConfigText config =
        one_service({backend.text()}, "", "", "download_rate = \"2B/s\"\nupload_rate = \"2B/s\"");
    config.process += "\nwatch_config = \"off\"";  // others come and go in the same directory
    ProxyProcess proxy(config);
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(client->send(std::string(60'000, 'y')));
    ASSERT_EQ(client->receive_text(1), "x");
    // What a relay calls; a sanitizer makes calls of its own.
    const Strace trace(proxy.pid(), {"trace=epoll_wait,recvfrom,sendto,splice,ioctl"});
    const std::size_t before = trace.calls();
    const auto start = Clock::now();
    EXPECT_EQ(client->receive_text(4, 20s).size(), 4U);
    // Per byte and direction: a wake-up, a read, a write. Readiness, which is there all the time,
    // wakes nobody; more data does not either.
    const auto spans = static_cast<std::size_t>(since(start).count() / 500) + 2;
    EXPECT_LE(trace.calls() - before, 12 * spans);
    client->reset();
}

TEST(Bandwidth, a_reset_backend_is_noticed_and_what_it_sent_arrives) {
    ChaosBackend backend(
        sends(30'000, [](Socket& socket, const ChaosBackend&) { socket.reset(); }));
    ProxyProcess proxy(one_service({backend.text()}, "", "", "download_rate = \"10B/s\""));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    std::uint64_t received = 0;
    EXPECT_EQ(client->wait_end(30s, &received), End::reset) << "at its rate it would take 50 min";
    EXPECT_EQ(received, 30'000U);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "backend_reset");
}

TEST(Bandwidth, a_backend_that_resets_during_a_pause_is_noticed) {
    std::atomic<bool> now = false;
    ChaosBackend backend([&now](Socket& socket, const ChaosBackend& self) {
        socket.send(std::string(30'000, 'x'));
        wait_for([&] { return now || self.stopping(); }, 60s);
        socket.reset();
    });
    ProxyProcess proxy(one_service({backend.text()}, "", "", "download_rate = \"10B/s\""));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    EXPECT_EQ(client->receive_text(3, 20s), "xxx");
    now = true;
    std::uint64_t received = 0;
    EXPECT_EQ(client->wait_end(30s, &received), End::reset);
    EXPECT_EQ(received + 3, 30'000U);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "backend_reset");
}

TEST(Bandwidth, a_client_that_resets_during_a_pause_is_noticed) {
    ChaosBackend backend(sends(30'000, waits));
    ProxyProcess proxy(
        one_service({backend.text()}, "", "", "download_rate = \"1B/s\"\nupload_rate = \"1B/s\""));
    for (const bool finished_before : {false, true}) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        ASSERT_TRUE(client->send("abc"));
        if (finished_before) client->finish();
        ASSERT_EQ(client->receive_text(1, 20s), "x");
        client->reset();
    }
    ASSERT_TRUE(wait_for([&] { return backend.finished() == 2; }, 30s));
    for (const auto& line : expect_lines(proxy, 2)) {
        EXPECT_EQ(line.reason, "client_reset") << line.raw;
        EXPECT_EQ(line.bytes_to_backend, 3U) << line.raw;
    }
}

TEST(Bandwidth, deadlines_and_drain_end_a_pause) {
    ChaosBackend backend(sends(30'000, waits));
    ConfigText config = one_service({backend.text()}, "", "", "download_rate = \"1B/s\"");
    config.services.push_back({.name = "mortal",
                               .backends = {backend.text()},
                               .listener = "download_rate = \"1B/s\"",
                               .timeouts = "lifetime = \"300ms\"\nlifetime_jitter = 0.0"});
    ProxyProcess proxy(config);
    auto mortal = Socket::connect(proxy.address("mortal"));
    auto drained = Socket::connect(proxy.address());
    ASSERT_TRUE(mortal && drained);
    EXPECT_EQ(mortal->wait_end(20s), End::reset);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "lifetime");
    ASSERT_EQ(drained->receive_text(1, 20s), "x");
    proxy.stop();
    EXPECT_EQ(drained->wait_end(), End::reset) << "bytes are waiting: no clean end";
    EXPECT_EQ(expect_lines(proxy, 2).at(1).reason, "drained");
}

}  // namespace
}  // namespace penstock::test
