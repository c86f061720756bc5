// What happens between threads: these run under the thread sanitizer as well.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <map>

#include "tests/integration/scenario.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {
namespace {

/// Keyed exchanges on several threads until told to end.
class Load {
public:
    Load(Address target, Ledger& ledger, std::uint64_t bytes, std::size_t threads = 4)
        : target_(target) {
        for (std::size_t i = 0; i < threads; ++i)
            threads_.emplace_back([this, &ledger, bytes] {
                while (!stop_) {
                    const ConnectionId id = run_client(target_, ledger, {.send = bytes});
                    if (ledger.record(id).client_address.empty()) return;  // refused: it is gone
                    ++done_;
                }
            });
    }
    ~Load() { finish(); }
    void finish() {
        stop_ = true;
        for (std::thread& thread : threads_)
            if (thread.joinable()) thread.join();
    }
    bool wait_for_more(std::size_t count) {
        const std::size_t goal = done_ + count;
        return wait_for([&] { return done_ >= goal; }, 60s);
    }

private:
    Address target_;
    std::atomic<bool> stop_ = false;
    std::atomic<std::size_t> done_ = 0;
    std::vector<std::thread> threads_;
};

ConfigText four_workers(std::vector<std::string> backends, std::string listener = "") {
    ConfigText config = one_service(std::move(backends), "", "", std::move(listener));
    config.process = "workers = 4";
    return config;
}

void finish_backend(ChaosBackend& backend) {
    EXPECT_TRUE(wait_for([&] { return backend.finished() == backend.accepted(); }));
}

TEST(CrossThread, connections_of_a_single_socket_are_spread_over_all_workers) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 30'000}));
    EchoServer echo;
    ConfigText config = four_workers({backend.text()});
    config.services[0].bind = "unix:@DIR@/in.sock";  // one worker accepts and hands over
    config.services.push_back(
        {.name = "held", .bind = "unix:@DIR@/held.sock", .backends = {echo.text()}});
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();
    std::vector<Socket> held;
    for (int i = 0; i < 64; ++i) {
        auto socket = established(proxy.address("held"));
        ASSERT_TRUE(socket);
        held.push_back(std::move(*socket));
    }
    Load load(proxy.address(), ledger, 30'000, 8);
    ASSERT_TRUE(load.wait_for_more(static_cast<std::size_t>(sized(400, 4))));
    load.finish();
    held.clear();
    finish_backend(backend);
    // All are called "unix:" in the log: it is checked line by line, not connection by connection.
    Verdict verdict = judge_integrity(ledger);
    verdict.add(judge_closes(ledger));
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    std::map<std::string, std::size_t> held_by;
    for (const LogLine& line : expect_lines(proxy, ledger.records().size() + 64)) {
        EXPECT_EQ(line.reason, "completed") << line.raw;
        if (line.listener == "held") ++held_by[line.worker];
    }
    EXPECT_EQ(held_by.size(), 4U);
    for (const auto& [worker, count] : held_by) EXPECT_LE(count, 32U) << worker;
    expect_descriptors(proxy, baseline, 4);
}

TEST(CrossThread, many_listeners_and_workers_mix_no_streams) {
    Ledger ledger;
    ChaosBackend a(scripts::keyed(ledger, {.send = 200'000}));
    ChaosBackend b(scripts::keyed(ledger, {.send = 200'000}));
    ConfigText config = four_workers({a.text(), b.text()});
    config.services.push_back({.name = "p2c", .backends = {a.text(), b.text()}, .balance = "p2c"});
    config.services.push_back({.name = "least",
                               .bind = "[::1]:0",
                               .backends = {a.text(), b.text()},
                               .balance = "least_connections"});
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();
    {
        Load first(proxy.address(), ledger, 100'000, 2);
        Load second(proxy.address("p2c"), ledger, 100'000, 2);
        Load third(proxy.address("least"), ledger, 100'000, 2);
        EXPECT_TRUE(first.wait_for_more(static_cast<std::size_t>(sized(60, 4))));
        EXPECT_TRUE(third.wait_for_more(static_cast<std::size_t>(sized(60, 4))));
    }
    finish_backend(a);
    finish_backend(b);
    expect_clean(ledger, proxy);
    EXPECT_GT(a.accepted(), 0U);
    EXPECT_GT(b.accepted(), 0U);
    expect_descriptors(proxy, baseline, 4);
}

TEST(CrossThread, drain_while_accepting) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 20'000}));
    ConfigText config = four_workers({backend.text()});
    config.drain = R"({ wait = "5m", close_over = "1s" })";
    ProxyProcess proxy(config);
    Load load(proxy.address(), ledger, 20'000, 6);
    ASSERT_TRUE(load.wait_for_more(50));
    proxy.signal(SIGTERM);
    const auto status = proxy.wait_exit();
    load.finish();
    ASSERT_TRUE(status);
    EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0) << proxy.errors();
    finish_backend(backend);
    // A connection that the kernel had queued when the sockets closed was never accepted: the
    // client was reset before a byte passed. Every other one is served to its end.
    Verdict verdict = judge_integrity(ledger);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
    std::size_t served = 0;
    for (const ConnectionRecord& record : ledger.records()) {
        if (record.client.saw == End::fin) {
            EXPECT_EQ(record.client.received, 20'000U);
            ++served;
        } else {
            EXPECT_EQ(record.client.received, 0U) << "accepted, then cut";
            EXPECT_EQ(record.backend_connections, 0U) << "accepted, then cut";
        }
    }
    const auto lines = proxy.access_log().lines();
    EXPECT_EQ(lines.size(), served) << reasons_other_than(lines, "completed");
    EXPECT_EQ(reasons_other_than(lines, "completed"), "");
}

class CrossThreadLimit : public testing::TestWithParam<bool> {};

TEST_P(CrossThreadLimit, is_exact_over_four_workers) {
    constexpr std::size_t limit = 50;
    const bool of_process = GetParam();
    EchoServer echo;
    ConfigText config = four_workers({echo.text()}, of_process ? "" : "max_connections = 50");
    if (of_process) config.process += "\nmax_connections = 50";
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();
    for (int round = 0; round < 3; ++round) {
        std::vector<Socket> sockets(200);
        std::vector<std::thread> threads;
        std::atomic<std::size_t> served = 0;
        for (std::size_t t = 0; t < 4; ++t)
            threads.emplace_back([&, t] {
                for (std::size_t i = t; i < sockets.size(); i += 4) {
                    auto socket = Socket::connect(proxy.address());
                    if (!socket) continue;
                    if (ping(*socket)) ++served;
                    sockets[i] = std::move(*socket);
                }
            });
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(served, limit);
        EXPECT_LE(echo.open(), limit);
        sockets.clear();
        ASSERT_TRUE(wait_for([&] { return echo.open() == 0; }));
        ASSERT_TRUE(proxy.descriptors_return_to(baseline));
    }
    const char* refusal = of_process ? "limit_process" : "limit_listener";
    // Refusals are written at most 100 a second, reason and worker: not all need be there.
    std::vector<LogLine> lines;
    EXPECT_TRUE(wait_for([&] {
        lines = proxy.access_log().lines();
        return std::ranges::count(lines, "completed", &LogLine::reason) == 3 * limit &&
               std::ranges::count(lines, refusal, &LogLine::reason) >= 100;
    }));
    const Verdict verdict = judge_lines(lines);
    EXPECT_TRUE(verdict.clean()) << verdict.text();
}

INSTANTIATE_TEST_SUITE_P(Limits, CrossThreadLimit, testing::Bool(),
                         [](const auto& row) { return row.param ? "process" : "listener"; });

TEST(CrossThread, waiting_at_the_limit_wakes_every_worker) {
    EchoServer echo;
    ProxyProcess proxy(four_workers({echo.text()}, "max_connections = 4\non_limit = \"wait\""));
    const auto count = static_cast<std::size_t>(sized(200, 2));
    std::vector<Socket> clients;
    for (std::size_t i = 0; i < count; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        ASSERT_TRUE(socket->send("ping"));
        clients.push_back(std::move(*socket));
    }
    // Whoever is served leaves, whichever worker's queue holds the others.
    std::vector<std::thread> threads;
    std::atomic<std::size_t> served = 0;
    for (Socket& client : clients)
        threads.emplace_back([&] {
            if (client.receive_text(4) == "ping") ++served;
            client.close();
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(served, count);
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, count), "completed"), "");
}

TEST(CrossThread, log_reopen_under_load) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 5'000}));
    // Lines of files that were renamed are no longer in the log.
    ProxyProcess proxy(four_workers({backend.text()}), {.check_counters = false});
    const auto log = proxy.access_log().path();
    std::vector<std::filesystem::path> files;
    Load load(proxy.address(), ledger, 5'000);
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(load.wait_for_more(static_cast<std::size_t>(sized(50))));
        files.push_back(log.string() + "." + std::to_string(i));
        std::filesystem::rename(log, files.back());
        proxy.signal(SIGUSR1);
        ASSERT_TRUE(wait_for([&] { return std::filesystem::exists(log); }));
    }
    load.finish();
    finish_backend(backend);
    proxy.stop();
    files.push_back(log);
    std::vector<LogLine> lines;
    for (const auto& file : files) {
        const auto some = AccessLogReader(file).lines(true);
        lines.insert(lines.end(), some.begin(), some.end());
    }
    Verdict verdict = judge_integrity(ledger);
    verdict.add(judge_closes(ledger));
    verdict.add(judge_log(ledger, lines));
    EXPECT_TRUE(verdict.clean()) << verdict.text();
}

TEST(CrossThread, term_while_connecting) {
    ScopedNetns netns;
    EchoServer hole;
    netns.add_rule("tcp dport " + hole.text().substr(hole.text().rfind(':') + 1));
    ConfigText config = four_workers({hole.text()});
    config.services[0].upstream = "connect_timeout = \"5m\"";
    config.drain = R"({ wait = "200ms", close_over = "200ms" })";
    ProxyProcess proxy(config);
    const std::size_t baseline = proxy.descriptors();
    constexpr std::size_t count = 100;
    std::vector<Socket> clients;
    for (std::size_t i = 0; i < count; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        clients.push_back(std::move(*socket));
    }
    ASSERT_TRUE(wait_for([&] { return proxy.descriptors() == baseline + 2 * count; }));
    proxy.signal(SIGTERM);
    for (std::size_t i = 0; i < count; i += 2) clients[i].reset();  // leaving at the same time
    const auto status = proxy.wait_exit();
    ASSERT_TRUE(status);
    EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0) << proxy.errors();
    for (const LogLine& line : expect_lines(proxy, count))
        EXPECT_TRUE(line.reason == "drained" || line.reason == "client_gone") << line.raw;
}

// Files are read, and tables built, on other threads: what these have made may come when the loop
// that wanted it is about to be destroyed.
TEST(CrossThread, G1_a_stop_in_the_middle_of_a_reload) {
    EchoServer echo;
    for (int round = 0; round < 20; ++round) {
        ProxyProcess proxy(one_service({echo.text()}));
        proxy.signal(SIGHUP);
        proxy.signal(SIGTERM);
        const auto status = proxy.wait_exit();
        EXPECT_TRUE(status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0) << proxy.errors();
    }
}

TEST(CrossThread, second_term_under_load) {
    Ledger ledger;
    ChaosBackend backend(scripts::keyed(ledger, {.send = 1 << 20}));
    ConfigText config = four_workers({backend.text()});
    config.drain = R"({ wait = "5m", close_over = "1s" })";
    ProxyProcess proxy(config);
    Load load(proxy.address(), ledger, 200'000, 6);
    ASSERT_TRUE(load.wait_for_more(10));
    const Address address = proxy.address();
    proxy.signal(SIGTERM);
    ASSERT_TRUE(stops_accepting(address));  // two pending signals would be one
    proxy.signal(SIGTERM);
    const auto status = proxy.wait_exit();
    load.finish();
    ASSERT_TRUE(status);
    EXPECT_TRUE(WIFEXITED(*status)) << proxy.errors();
    finish_backend(backend);
    // Whatever was cut off was cut by resets: never a FIN after half of it.
    for (const ConnectionRecord& record : ledger.records())
        ledger.update(record.id, [](ConnectionRecord& r) { r.expected_reason = "drained"; });
    Verdict verdict = judge_integrity(ledger);
    verdict.add(judge_closes(ledger));
    EXPECT_TRUE(verdict.clean()) << verdict.text();
}

}  // namespace
}  // namespace penstock::test
