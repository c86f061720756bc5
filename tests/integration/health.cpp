// Verdicts on backends, with the program as it is run: checks, circuits, sessions of backends that
// fail.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <span>

#include "tests/integration/scenario.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/counting_backend.hpp"
#include "tests/support/dns_server.hpp"

namespace penstock::test {
namespace {

constexpr std::string_view fast_check =
    R"(health_check = { type = "tcp", interval = "100ms", fast_interval = "50ms", down_interval = { base = "50ms", max = "100ms" }, timeout = "500ms" })";
constexpr std::string_view fast_exchange =
    R"(health_check = { type = "exchange", interval = "100ms", fast_interval = "50ms", down_interval = { base = "50ms", max = "100ms" }, timeout = "300ms", exchange = { send = "hello", expect = "hello" } })";

ConfigText checked(std::vector<std::string> backends, std::string upstream) {
    ConfigText config = one_service(std::move(backends), "", std::move(upstream));
    config.log = R"(level = "info")";
    return config;
}

std::size_t times(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

std::string served_by(const ProxyProcess& proxy, std::size_t line) {
    return expect_lines(proxy, line + 1).at(line).backend;
}

TEST(Health, a_backend_that_is_dead_at_the_start_gets_nobody_and_one_that_comes_up_does) {
    ChaosBackend alive(scripts::echo());
    ChaosBackend dead(scripts::echo());
    dead.stop_listening();
    ProxyProcess proxy(checked({dead.text(), alive.text()},
                               std::string(fast_check) + "\npanic_threshold = 0\nattempts = 1"));
    for (std::size_t i = 0; i < 6; ++i) {
        ASSERT_TRUE(echo_once(proxy.address()));
        EXPECT_EQ(served_by(proxy, i), "b1");
    }
    dead.start_listening();
    ASSERT_TRUE(proxy.says("backend b0 is up"));
    // The worker hears of it a little later than the log.
    std::size_t made = 6;
    ASSERT_TRUE(
        wait_for([&] { return echo_once(proxy.address()) && served_by(proxy, made++) == "b0"; }));
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(echo_once(proxy.address()));
    std::map<std::string, int> served;
    const auto lines = expect_lines(proxy, made + 6);
    for (const LogLine& line : std::span(lines).subspan(made)) ++served[line.backend];
    EXPECT_EQ(served["b0"], 3);
}

TEST(Health, B5_a_server_that_is_killed_costs_nobody_a_connection) {
    CountingBackend a;
    CountingBackend b;
    ProxyProcess proxy(checked({a.text(), b.text()}, std::string(fast_check)));
    const std::size_t baseline = descriptor_baseline(proxy);
    Probe probe(proxy.address());
    ASSERT_TRUE(wait_for([&] { return a.accepted() > 5; }));
    a.backend().stop_listening();
    ASSERT_TRUE(proxy.says("backend b0 is down"));
    const auto at_death = b.accepted();
    ASSERT_TRUE(wait_for([&] { return b.accepted() > at_death + 10; }));
    a.backend().start_listening();
    ASSERT_TRUE(proxy.says("backend b0 is up"));
    const auto at_return = a.accepted();
    ASSERT_TRUE(wait_for([&] { return a.accepted() > at_return + 5; }));
    const auto result = probe.finish();
    EXPECT_EQ(result.failed, 0U);
    expect_descriptors(proxy, baseline);
}

TEST(Health, B6_a_server_that_is_stopped_is_down_though_its_kernel_accepts) {
    ChildProcess stopped({PENSTOCK_TEST_ECHO_BACKEND});
    ASSERT_TRUE(wait_for([&] { return stopped.output().find('\n') != std::string::npos; }));
    const auto address = stopped.output().substr(0, stopped.output().find('\n'));
    ChaosBackend other(scripts::echo());
    ProxyProcess proxy(
        checked({address, other.text()}, std::string(fast_exchange) + "\npanic_threshold = 0"));
    auto session = established(proxy.address());
    ASSERT_TRUE(session);
    stopped.signal(SIGSTOP);
    ASSERT_TRUE(proxy.says("backend b0 is down"));
    // A worker hears of it in its next turn: who came before that waits for the stopped server.
    ASSERT_TRUE(wait_for([&] { return echo_once(proxy.address(), 500ms).has_value(); }));
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    stopped.signal(SIGCONT);
    ASSERT_TRUE(proxy.says("backend b0 is up"));
    EXPECT_TRUE(ping(*session));
    session.reset();
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Health, B7_a_backend_that_flaps_neither_floods_the_log_nor_fails_clients) {
    ChaosBackend flapping(scripts::echo());
    ChaosBackend steady(scripts::echo());
    ProxyProcess proxy(checked({flapping.text(), steady.text()},
                               R"(panic_threshold = 0
health_check = { type = "tcp", interval = "20ms", fast_interval = "10ms", rise = 1, fall = 1, down_interval = { base = "10ms", max = "20ms" }, timeout = "500ms" })"));
    for (int i = 0; i < 40; ++i) {
        const auto downs = times(proxy.errors(), "b0 is down");
        flapping.stop_listening();
        wait_for([&] { return times(proxy.errors(), "b0 is down") > downs; }, 100ms);
        EXPECT_TRUE(echo_once(proxy.address()));
        flapping.start_listening();
        wait_for([&] { return false; }, 60ms);
    }
    proxy.stop();
    const auto log = proxy.errors();
    EXPECT_LE(times(log, "b0 is down") + times(log, "b0 is up"), 30U) << log;
    EXPECT_NE(log.find("times down"), std::string::npos) << log;  // all of them are counted
}

TEST(Health, B11_a_backend_that_resets_everybody_is_ejected_although_its_check_is_green) {
    ChaosBackend good(scripts::echo());
    ChaosBackend bad(scripts::reset_at_once());
    ProxyProcess proxy(checked({good.text(), bad.text()},
                               std::string(fast_check) +
                                   "\ncircuit_breaker = { open_for = { base = \"1h\", max = \"1h\" "
                                   "} }\npanic_threshold = 0"));
    for (int i = 0; i < 40 && proxy.errors().find("circuit") == std::string::npos; ++i) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        client->send("x");
        client->finish();
        client->wait_end();
    }
    ASSERT_TRUE(proxy.says("backend b1"));
    const auto seen = bad.accepted();
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    // Checks go on; they are what it accepts now.
    proxy.stop();
    const auto log = proxy.errors();
    EXPECT_NE(log.find("1 circuits opened"), std::string::npos) << log;
    EXPECT_EQ(log.find("b1 is down"), std::string::npos) << log;
    EXPECT_GE(seen, 5U);
}

TEST(Health, B11_a_green_data_port_behind_a_red_check_gets_nobody) {
    ChaosBackend good(scripts::echo());
    CountingBackend unchecked;
    ClosedPort check_port;
    auto port = check_port.address.text();
    port = port.substr(port.rfind(':') + 1);
    ConfigText config = checked({unchecked.text()}, R"(panic_threshold = 0
health_check = { type = "tcp", interval = "100ms", fast_interval = "50ms", port = )" +
                                                        port + " }");
    ProxyProcess proxy(config);
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    EXPECT_EQ(client->wait_end(), End::reset);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "no_backend");
    EXPECT_EQ(unchecked.accepted(), 0U);
}

struct OnDown {
    const char* name;
    const char* setting;
    bool killed;
};
class HealthB14 : public testing::TestWithParam<OnDown> {};

TEST_P(HealthB14, sessions_of_a_backend_that_goes_down) {
    ChaosBackend backend(scripts::echo());
    ProxyProcess proxy(
        checked({backend.text()}, std::string(fast_check) + "\n" + GetParam().setting));
    auto session = established(proxy.address());
    ASSERT_TRUE(session);
    backend.stop_listening();
    ASSERT_TRUE(proxy.says("backend b0 is down"));
    if (!GetParam().killed) {
        EXPECT_TRUE(ping(*session));
        backend.start_listening();
        ASSERT_TRUE(proxy.says("backend b0 is up"));
        EXPECT_TRUE(ping(*session));
        return;
    }
    EXPECT_EQ(session->wait_end(), End::reset);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "backend_down");
}

INSTANTIATE_TEST_SUITE_P(
    Settings, HealthB14,
    testing::Values(OnDown{"keep", "on_backend_down = \"keep\"", false},
                    OnDown{"kill", "on_backend_down = \"kill\"", true},
                    OnDown{"drain",
                           "on_backend_down = \"drain\"\ndrain = { wait = \"0s\", "
                           "close_over = \"0s\" }",
                           true},
                    OnDown{"a_blip", "on_backend_down = \"kill\"\ndown_grace = \"1h\"", false}),
    [](const auto& of) { return of.param.name; });

TEST(Health, held_clients_go_on_when_the_check_says_up) {
    ChaosBackend backend(scripts::echo());
    backend.stop_listening();
    ProxyProcess proxy(checked({backend.text()}, std::string(fast_check) +
                                                     "\nno_backend = \"hold\"\nhold = { timeout = "
                                                     "\"1m\", max_length = 10 }"));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(client->send("held"));
    backend.start_listening();
    EXPECT_EQ(client->receive_text(4), "held");
}

TEST(Health, without_a_backend_one_line_tells_and_not_one_per_client) {
    ClosedPort nobody;
    ProxyProcess proxy(
        checked({nobody.address.text()}, std::string(fast_check) + "\npanic_threshold = 0"));
    for (int i = 0; i < 50; ++i) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        EXPECT_EQ(client->wait_end(), End::reset);
    }
    proxy.stop();
    const auto log = proxy.errors();
    EXPECT_EQ(times(log, "50 no_backend"), 1U) << log;
    EXPECT_GE(times(log, " warn  upstream in:"), 1U) << log;
    EXPECT_LE(times(log, " warn  upstream in:"), 4U) << log;
}

TEST(Health, back_ups_serve_while_the_first_tier_is_down) {
    ChaosBackend first(scripts::echo());
    ChaosBackend second(scripts::echo());
    ProxyProcess proxy(checked({first.text(), "address = \"" + second.text() + "\"\ntier = 1"},
                               std::string(fast_check)));
    ASSERT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(served_by(proxy, 0), "b0");
    first.stop_listening();
    ASSERT_TRUE(proxy.says("backend b0 is down"));
    // The worker hears of it a little later than the log.
    std::size_t next = 1;
    EXPECT_TRUE(wait_for([&] {
        const bool served = echo_once(proxy.address()).has_value();
        const auto line = expect_lines(proxy, next + 1).at(next);
        ++next;
        return served && line.backend == "b1" && line.attempts.size() == 1;
    }));
    first.start_listening();
    ASSERT_TRUE(proxy.says("backend b0 is up"));
    EXPECT_TRUE(
        wait_for([&] { return echo_once(proxy.address()) && served_by(proxy, next++) == "b0"; }));
}

TEST(Health, a_term_during_the_first_checks_ends_it_at_once) {
    FullBacklog silent;
    ConfigText config =
        checked({silent.text()}, R"(health_check = { type = "tcp", timeout = "1h" })");
    ProxyProcess proxy(config, {.wait_ready = false});
    ASSERT_TRUE(wait_for([&] { return proxy.threads() >= 3; }));
    proxy.signal(SIGTERM);
    const auto status = proxy.wait_exit();
    ASSERT_TRUE(status);
    EXPECT_EQ(*status, 0);
    EXPECT_EQ(proxy.child().output().find("ready"), std::string::npos);
}

#ifndef PENSTOCK_SANITIZE_BUILD  // which must be the first library that is loaded
TEST(Health, K1_jumps_of_the_wall_clock_change_nothing) {
    ChaosBackend backend(scripts::echo());
    ProxyProcess proxy(checked({backend.text()}, std::string(fast_check)),
                       {.wrapper = {"env", "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1",
                                    "FAKETIME=+0 x1000", "FAKETIME_DONT_FAKE_MONOTONIC=1"}});
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(proxy.errors().find("is down"), std::string::npos) << proxy.errors();
}

#endif

// The name moves from one server to another: new clients follow, old ones drain.
TEST(Health, D9_a_name_that_moves_takes_new_clients_with_it_and_drains_the_old_ones) {
    ChaosBackend a(scripts::echo());
    ChaosBackend b(scripts::echo());
    const auto at = [](const ChaosBackend& backend) -> DnsServer::Script {
        const auto port = backend.address().port();
        return [port](const std::string&, std::uint16_t type, bool) {
            DnsServer::Reply reply;
            if (type == DnsServer::srv)
                reply.answers = {DnsServer::service(0, 1, port, "host.test")};
            if (type == DnsServer::a) reply.answers = {DnsServer::ipv4("127.0.0.1")};
            return reply;
        };
    };
    DnsServer names(at(a));
    ConfigText config = checked({}, "drain = { wait = \"0s\", close_over = \"0s\" }\n" +
                                        std::string(fast_check) + R"(
[[upstream.discovery]]
type = "srv"
name = "service.test"
resolver = ")" + names.text() + R"("
min_ttl = "100ms"
max_ttl = "100ms"
removal_delay = "0s")");
    ProxyProcess proxy(config);
    auto session = established(proxy.address());
    ASSERT_TRUE(session);
    EXPECT_GT(a.accepted(), 0U);
    names.set(at(b));
    EXPECT_NE(session->wait_end(), End::open);
    std::size_t made = 1;
    ASSERT_TRUE(wait_for([&] {
        ++made;
        return echo_once(proxy.address()) && b.accepted() > 0;
    }));
    const auto lines = expect_lines(proxy, made);
    EXPECT_EQ(lines.front().reason, "backend_removed") << lines.front().raw;
    EXPECT_EQ(lines.front().backend, a.text()) << lines.front().raw;
    // A name server that fails changes nothing.
    names.set([](const std::string&, std::uint16_t, bool) { return DnsServer::Reply{.rcode = 2}; });
    ASSERT_TRUE(proxy.says("stay as they are"));
    EXPECT_TRUE(echo_once(proxy.address()));
    // Operators see it wherever they look.
    const auto told = [&proxy](const std::string& to) {
        const std::string events = proxy.admin().get("/api/v1/events").body;
        return events.contains("\"to\":\"" + to + "\",\"detail\":\"srv service.test");
    };
    EXPECT_TRUE(wait_for([&] { return told("failed"); }))
        << proxy.admin().get("/api/v1/events").body;
    const std::string socket = "unix:" + (proxy.directory() / "admin.sock").string();
    const auto status = run_penstock({"status", "--admin", socket});
    EXPECT_NE(status.output.find("upstream in: srv service.test: "), std::string::npos)
        << status.output;
    const auto explained = run_penstock({"explain", "in", "--admin", socket});
    EXPECT_NE(explained.output.find("\nsrv service.test: "), std::string::npos) << explained.output;
    names.set(at(b));
    EXPECT_TRUE(wait_for([&] { return told("ok"); }));
}

// Its share of new connections grows as planned: from a tenth to all of its weight in the window.
TEST(Health, B8_a_backend_that_is_back_starts_slowly) {
    EXPECT_TRUE(in_one_of_three_windows([] {
        ChaosBackend steady(scripts::echo());
        ChaosBackend returning(scripts::echo());
        returning.stop_listening();
        ProxyProcess proxy(checked(
            {steady.text(), returning.text()},
            std::string(fast_check) + "\npanic_threshold = 0\nslow_start = { window = \"4s\" }"));
        EXPECT_TRUE(echo_once(proxy.address()));
        returning.start_listening();
        EXPECT_TRUE(proxy.says("backend b1 is up"));
        const auto start = Clock::now();
        double planned = 0;
        std::size_t made = 0;
        while (since(start) < 4000ms) {
            const double weight = std::max(0.1, static_cast<double>(since(start).count()) / 4000.0);
            if (!echo_once(proxy.address())) return false;
            planned += weight / (1 + weight);
            ++made;
        }
        std::size_t served = 0;
        for (const LogLine& line : expect_lines(proxy, made + 1))
            served += line.backend == "b1" ? 1 : 0;
        std::cout << served << " of " << made << " connections, planned " << planned << "\n";
        return std::abs(static_cast<double>(served) - planned) < 0.1 * static_cast<double>(made);
    }));
}

// The control thread stands still longer than any check may take.
TEST(Health, R10_a_proxy_that_was_held_up_blames_no_backend) {
    ChaosBackend a(scripts::echo());
    ChaosBackend b(scripts::echo());
    ProxyProcess proxy(checked({a.text(), b.text()}, std::string(fast_exchange)));
    for (int i = 0; i < 3; ++i) {
        proxy.signal(SIGSTOP);
        const auto until = Clock::now() + 1s;
        wait_for([&] { return Clock::now() >= until; });
        proxy.signal(SIGCONT);
        ASSERT_TRUE(proxy.says("held up"));  // written once in ten seconds
        ASSERT_TRUE(echo_once(proxy.address()));
    }
    EXPECT_EQ(proxy.errors().find("is down"), std::string::npos) << proxy.errors();
}

}  // namespace
}  // namespace penstock::test
