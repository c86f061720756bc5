// What happens when descriptors, ports or system calls run out.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <fstream>

#include "tests/integration/scenario.hpp"
#include "tests/support/netns.hpp"
#include "tests/support/strace.hpp"

namespace penstock::test {
namespace {

void limit_descriptors(const ProxyProcess& proxy, rlim_t count) {
    const rlimit limit{count, count};
    ASSERT_EQ(::prlimit(proxy.pid(), RLIMIT_NOFILE, &limit, nullptr), 0);
}

TEST(FaultsR, R1_out_of_descriptors_pauses_accepting_and_resumes) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    const std::size_t baseline = descriptor_baseline(proxy);
    limit_descriptors(proxy, 64);
    std::vector<Socket> clients;
    for (int i = 0; i < 200; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        clients.push_back(std::move(*socket));
    }
    ASSERT_TRUE(wait_for([&] { return proxy.descriptors() >= 62; }));
    // Those that wait in the kernel's queue must not make it spin, nor fill its log.
    EXPECT_TRUE(wait_for([&] { return proxy.cpu_per_second(1s) < scaled(50ms); }));
    EXPECT_LT(proxy.errors().size(), 20'000U);

    // Whoever is served leaves, and so makes room for the next. Where the last descriptor went into
    // an accepted client there is none for its backend, and that one is refused.
    std::size_t served = 0;
    std::size_t refused = 0;
    for (Socket& client : clients) {
        if (ping(client)) {
            ++served;
        } else {
            EXPECT_EQ(client.wait_end(), End::reset);
            ++refused;
        }
        client.close();
    }
    EXPECT_GE(served, 100U);
    EXPECT_EQ(served + refused, clients.size());
    const auto lines = expect_lines(proxy, clients.size() + 1);
    EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(lines, "completed", &LogLine::reason)),
              served + 1);
    for (const LogLine& line : lines) {
        if (line.reason == "completed") continue;
        EXPECT_EQ(line.reason, "connect_failed") << line.raw;
        ASSERT_FALSE(line.attempts.empty()) << line.raw;
        EXPECT_EQ(line.attempts.back().error, "no_fd") << line.raw;
    }
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
}

TEST(FaultsR, R1_accept_resumes_after_a_release) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    descriptor_baseline(proxy);
    limit_descriptors(proxy, 64);
    std::vector<Socket> clients;
    for (int i = 0; i < 60; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        clients.push_back(std::move(*socket));
    }
    ASSERT_TRUE(wait_for([&] { return proxy.descriptors() >= 62; }));
    ASSERT_TRUE(ping(clients.front()));  // the oldest is being served
    const std::size_t before = echo.accepted();
    for (std::size_t i = 0; i < 10; ++i) clients[i].close();
    EXPECT_TRUE(wait_for([&] { return echo.accepted() > before; }));
}

TEST(FaultsR, R2_no_descriptor_for_the_backend_refuses_that_connection_only) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}, "", "attempts = 3"));
    const std::size_t baseline = descriptor_baseline(proxy);
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    {
        Strace trace(proxy.pid(), {"trace=socket", "inject=socket:error=EMFILE"});
        auto refused = Socket::connect(proxy.address());
        ASSERT_TRUE(refused);
        EXPECT_EQ(refused->wait_end(), End::reset);
        EXPECT_TRUE(ping(*open));
    }
    EXPECT_TRUE(echo_once(proxy.address()));
    open->close();
    const auto lines = expect_lines(proxy, 4);
    const auto line = std::ranges::find(lines, "connect_failed", &LogLine::reason);
    ASSERT_NE(line, lines.end());
    ASSERT_FALSE(line->attempts.empty()) << line->raw;
    for (const LogAttempt& attempt : line->attempts) EXPECT_EQ(attempt.error, "no_fd") << line->raw;
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
}

class AcceptErrors : public testing::TestWithParam<const char*> {};

TEST_P(AcceptErrors, R3_acceptor_survives) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    const std::size_t baseline = descriptor_baseline(proxy);
    {
        const std::string inject =
            std::string("inject=accept,accept4:error=") + GetParam() + ":when=1..3";
        Strace trace(proxy.pid(), {"trace=accept,accept4", inject});
        EXPECT_TRUE(echo_once(proxy.address()));
        EXPECT_TRUE(echo_once(proxy.address()));
        EXPECT_GE(trace.calls("INJECTED"), 1U);
    }
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(proxy.descriptors_return_to(baseline)) << baseline << " " << proxy.descriptors();
}

INSTANTIATE_TEST_SUITE_P(FaultsR, AcceptErrors,
                         testing::Values("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED",
                                         "EPROTO", "EPERM", "EINTR", "ENETDOWN"),
                         [](const auto& row) { return std::string(row.param); });

TEST(FaultsR, R4_more_connections_than_descriptors_is_an_error_with_both_numbers) {
    TempDir directory;
    ConfigText config = one_service({"127.0.0.1:9"});
    config.process = "workers = 1\nmax_connections = 10000";
    config.access_log = "target = \"off\"";
    const auto file = directory.path() / "penstock.toml";
    std::ofstream(file) << config.toml();
    const Finished run =
        run_penstock({"run", "-c", file.string()}, patience, {"prlimit", "--nofile=256:256"});
    EXPECT_EQ(run.exit_status, 2) << run.errors;
    EXPECT_NE(run.errors.find("256"), std::string::npos) << run.errors;
    const bool named = run.errors.find("10000") != std::string::npos ||
                       run.errors.find("10,000") != std::string::npos;
    EXPECT_TRUE(named) << run.errors;
    EXPECT_EQ(run.output.find("ready"), std::string::npos);
}

TEST(FaultsR, R4_automatic_limit_fits_the_descriptors_and_is_enforced) {
    EchoServer echo;
    ProxyOptions options;
    options.wrapper = {"prlimit", "--nofile=256:256"};
    ProxyProcess proxy(one_service({echo.text()}), options);
    std::vector<Socket> clients;
    std::size_t served = 0;
    for (int i = 0; i < 100; ++i) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket);
        if (ping(*socket)) ++served;
        clients.push_back(std::move(*socket));
    }
    // (256 - 64 - 4 per worker - 2 per pipe) / 2 at most, and never so few that it is useless.
    EXPECT_LE(served, (256U - 64U - 4U) / 2);
    EXPECT_GE(served, 16U);
    clients.clear();
    for (const LogLine& line : expect_lines(proxy, 100))
        EXPECT_TRUE(line.reason == "completed" || line.reason == "limit_process") << line.raw;
}

TEST(FaultsR, R7_local_ports_run_out) {
    ScopedNetns netns;
    ScopedNetns::set("net/ipv4/ip_local_port_range", "40000 40010");
    constexpr std::size_t ports = 11;
    EchoServer echo, other("127.0.0.2:0");
    ConfigText config = one_service({echo.text()}, "", "attempts = 2");
    config.services.push_back({.name = "two", .backends = {other.text()}});
    ProxyProcess proxy(config);
    std::vector<Socket> clients;
    std::size_t served = 0;
    for (int i = 0; i < 30; ++i) {
        // The clients bring their own ports, outside the range.
        auto socket =
            Socket::connect(proxy.address(), {.source = "127.0.0.9:" + std::to_string(20'000 + i)});
        ASSERT_TRUE(socket);
        if (ping(*socket)) {
            ++served;
        } else {
            EXPECT_EQ(socket->wait_end(), End::reset);
        }
        clients.push_back(std::move(*socket));
    }
    EXPECT_LE(served, ports);
    EXPECT_GE(served, ports / 2);  // the kernel takes odd and even ports in turn
    expect_idle(proxy, 500ms);
    EXPECT_TRUE(echo_once(proxy.address("two"), patience, {.source = "127.0.0.9:21000"}));
    clients.clear();
    for (const LogLine& line : expect_lines(proxy, 31)) {
        if (line.reason == "completed") continue;
        EXPECT_EQ(line.reason, "connect_failed") << line.raw;
        ASSERT_FALSE(line.attempts.empty()) << line.raw;
        EXPECT_NE(line.attempts.back().error, "refused") << line.raw;
        EXPECT_NE(line.raw.find("EADDRNOTAVAIL"), std::string::npos) << line.raw;
    }
}

TEST(FaultsR, R12_idle_connections_cause_no_system_calls) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    std::vector<Socket> clients;
    for (int i = 0; i < 100; ++i) {
        auto socket = established(proxy.address());
        ASSERT_TRUE(socket);
        clients.push_back(std::move(*socket));
    }
    Strace trace(proxy.pid(), {"trace=all"});
    const auto calls_during = [&](milliseconds span) {
        const std::size_t start = trace.calls();
        std::this_thread::sleep_for(span);  // the measured interval itself
        return trace.calls() - start;
    };
    // What is done once for a connection that lives on (socket options, a first look at it) passes.
    EXPECT_TRUE(wait_for([&] { return calls_during(2s) < 100; }));
    const std::size_t before = trace.calls();
    EXPECT_TRUE(ping(clients.front()));
    EXPECT_TRUE(wait_for([&] { return trace.calls() > before; }));  // it does see them
}

}  // namespace
}  // namespace penstock::test
