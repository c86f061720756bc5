// Reloads under load: nothing is refused, reset or lost, and nothing is left behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>

#include "tests/integration/change_scenario.hpp"
#include "tests/support/held_thread.hpp"
#include "tests/support/process_stats.hpp"

namespace penstock::test {
namespace {

/// Sessions stay although their backend has left.
constexpr const char* keep_sessions = "drain = { wait = \"never\", close_over = \"1s\" }\n";

constexpr std::array policies{"round_robin", "least_connections", "p2c",  "random", "least_latency",
                              "maglev",      "ring_hash",         "first"};

/// The service "in" for the traffic, and "quiet" to look at the proxy without disturbing it.
ConfigText under_load(const Traffic& traffic, const EchoServer& echo) {
    ConfigText config = one_service(traffic.backends(), "", keep_sessions);
    config.process = "workers = 2";
    config.services.push_back({.name = "quiet", .bind = "127.0.0.2:0", .backends = {echo.text()}});
    return config;
}

/// The n-th of the configurations that are in force in turn, all of them good.
ConfigText variant(ConfigText config, int n) {
    Service& service = config.services.front();
    service.balance = policies[static_cast<std::size_t>(n) % policies.size()];
    service.upstream += "attempts = " + std::to_string(2 + n % 3) + "\n";
    if (n % 2 == 1) {
        service.backends.pop_back();
        service.timeouts = "idle = \"" + std::to_string(10 + n) + "m\"";
    }
    if (n % 5 == 3) config.log = "level = \"debug\"";
    if (n % 5 == 4) service.upstream += "health_check = \"tcp\"\n";
    if (n % 6 == 5) service.upstream += "pool = { min_idle = 4 }\n";
    if (n % 4 == 2) {
        service.listener = "backlog = 3000\nmax_connections = 5000";
        config.services.push_back(  // which ends `service`
            {.name = "extra", .bind = "127.0.0.3:0", .backends = service.backends});
    }
    return config;
}

std::string broken(const ConfigText& config, int n) {
    const std::string toml = config.toml();
    switch (n % 4) {
        case 0: return toml.substr(0, toml.size() / 2) + "\n= \"";
        case 1: return toml + "\nno_such_key = 1\n";
        case 2: return "";
        default: return toml + "\n[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\n";
    }
}

TEST(FaultsC, C4_a_hundred_reloads_under_load_lose_nothing) {
    EchoServer echo;
    const auto long_lived = static_cast<std::size_t>(sized(500));
    Traffic traffic({.per_second = full_rate(), .long_lived = long_lived, .backends = 3});
    const ConfigText config = under_load(traffic, echo);
    ProxyProcess proxy(config);
    const std::size_t baseline = descriptor_baseline(proxy, {"quiet"});
    traffic.start({proxy.address()});
    ASSERT_TRUE(wait_for([&] { return traffic.living() >= long_lived; }));
    const auto more = static_cast<std::uint64_t>(sized(40));
    int applied = 0;
    int refused = 0;
    for (int i = 0; i < sized(100, 4); ++i) {
        if (i % 3 == 1) proxy.rewrite(variant(config, i / 3));
        if (i % 3 == 2) proxy.rewrite(broken(config, i / 3));
        const bool good = proxy.reload();
        EXPECT_EQ(good, i % 3 != 2) << i << "\n" << proxy.errors().substr(0, 3000);
        ++(good ? applied : refused);
        if (i % 3 == 2) proxy.rewrite(variant(config, i / 3));  // what is in force: "the same"
        ASSERT_TRUE(traffic.wait_for_more(more)) << i;
    }
    ASSERT_TRUE(proxy.change_to(config));
    ASSERT_TRUE(traffic.wait_for_more(more));
    EXPECT_GE(traffic.living(), long_lived);
    expect_no_loss(traffic, proxy, 1);
    expect_descriptors(proxy, baseline, 2);
    const MetricsPage page = metrics_of(proxy);
    EXPECT_EQ(page.value("penstock_config_reloads_total{result=\"success\"}"), applied + 1);
    EXPECT_EQ(page.value("penstock_config_reloads_total{result=\"failure\"}"), refused);
}

TEST(FaultsC, C4_memory_and_descriptors_return) {
    EchoServer echo;
    ConfigText config = one_service({echo.text(), echo.text()}, "", keep_sessions);
    config.process = "workers = 2";
    config.services.push_back({.name = "quiet", .bind = "127.0.0.2:0", .backends = {echo.text()}});
    ProxyProcess proxy(config);
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    const auto reload_often = [&](int times) {
        for (int i = 0; i < times; ++i) ASSERT_TRUE(proxy.change_to(variant(config, i))) << i;
        ASSERT_TRUE(proxy.change_to(config));
    };
    reload_often(30);
    const std::size_t descriptors = proxy.descriptors();
    // A leak grows each time, unlike what the allocator keeps of a moment in which much waited.
    // What sanitizers keep for their own purposes is none; that they find one would be told.
    EXPECT_TRUE(in_one_of_three_windows([&] {
        const std::uint64_t memory = proxy.private_memory();
        reload_often(sized(120));
        return sanitized || proxy.private_memory() < memory + 2 * 1024 * 1024;
    }));
    EXPECT_TRUE(proxy.descriptors_return_to(descriptors)) << proxy.descriptors();
    EXPECT_TRUE(ping(*open));
}

TEST(FaultsC, C4_names_and_addresses_move_under_load_and_nothing_is_lost) {
    EchoServer echo;
    const auto long_lived = static_cast<std::size_t>(sized(200));
    Traffic traffic({.per_second = full_rate() / 2, .long_lived = long_lived, .backends = 2});
    ConfigText config = under_load(traffic, echo);
    config.drain = patient_drain;
    config.services[0].bind = own_address(7001);
    config.services.push_back({.name = "other",
                               .bind = own_address(7002),
                               .backends = traffic.backends(),
                               .upstream = keep_sessions});
    ProxyProcess proxy(config, {.check_counters = false});
    traffic.start({Address::parse(own_address(7001)), Address::parse(own_address(7002))});
    ASSERT_TRUE(wait_for([&] { return traffic.living() >= long_lived; }));
    for (int i = 0; i < sized(30); ++i) {
        ConfigText next = config;
        if (i % 2) std::swap(next.services[0].bind, next.services[2].bind);
        if (i % 3 == 0) next.services[0].name = "renamed" + std::to_string(i);
        if (i % 3 == 1) next.services.front().balance = "p2c";
        ASSERT_TRUE(proxy.change_to(next)) << proxy.errors();
        ASSERT_TRUE(traffic.wait_for_more(static_cast<std::uint64_t>(sized(40)))) << i;
    }
    expect_no_loss(traffic, proxy);
}

TEST(FaultsC, C4_the_policy_changes_under_load_and_nothing_is_lost) {
    EchoServer echo;
    Traffic traffic({.per_second = full_rate() / 2,
                     .long_lived = static_cast<std::size_t>(sized(100)),
                     .backends = 4});
    ConfigText config = under_load(traffic, echo);
    ProxyProcess proxy(config);
    traffic.start({proxy.address()});
    for (int i = 0; i < 2 * static_cast<int>(policies.size()); ++i) {
        config.services[0].balance = policies[static_cast<std::size_t>(i) % policies.size()];
        ASSERT_TRUE(proxy.change_to(config)) << proxy.errors();
        EXPECT_EQ(upstream_of(proxy).at("balance").as_string(), config.services[0].balance);
        ASSERT_TRUE(traffic.wait_for_more(static_cast<std::uint64_t>(sized(100)))) << i;
    }
    expect_no_loss(traffic, proxy);
}

TEST(FaultsC, C4_counters_never_go_backwards_under_load) {
    EchoServer echo;
    Traffic traffic({.per_second = full_rate() / 4, .long_lived = 20, .backends = 3});
    const ConfigText config = under_load(traffic, echo);
    ProxyProcess proxy(config);
    traffic.start({proxy.address()});
    MetricsPage before = metrics_of(proxy);
    for (int i = 0; i < sized(60); ++i) {
        if (i % 2) {
            // Nothing leaves: what is gone altogether need not be shown for ever.
            ConfigText next = config;
            next.services[0].balance = policies[static_cast<std::size_t>(i) % policies.size()];
            next.services[0].upstream += "attempts = " + std::to_string(1 + i % 3);
            ASSERT_TRUE(proxy.change_to(next)) << proxy.errors();
        }
        const MetricsPage after = metrics_of(proxy);
        const auto back = went_backwards(before, after);
        ASSERT_TRUE(back.empty()) << i << ": " << back.front();
        before = after;
    }
    expect_no_loss(traffic, proxy);
}

// --- a large configuration ----------------------------------------------------------------------

std::string large_config(const std::string& backend, int upstreams, int attempts,
                         const std::string& balance = "p2c") {
    ConfigText config = one_service({backend}, "", "attempts = " + std::to_string(attempts));
    config.process = "workers = 2";
    std::string split;
    std::string rest;
    for (int i = 0; i < upstreams; ++i) {
        const std::string name = "u" + std::to_string(i);
        const std::string net = "10." + std::to_string(i / 250) + "." + std::to_string(i % 250);
        split += "{ upstream = \"" + name + "\", weight = 1 }, ";
        rest += "\n[[upstream]]\nname = \"" + name + "\"\nbalance = \"" +
                (i % 10 == 0 ? balance : "p2c") +
                "\"\nattempts = " + std::to_string(1 + (i + attempts) % 4) + "\nbackend = [";
        for (int j = 1; j <= 10; ++j) rest += "\"" + net + "." + std::to_string(j) + ":80\", ";
        rest += "]\n";
    }
    return config.toml() + "\n[[listener]]\nname = \"all\"\nbind = \"127.0.0.2:0\"\nsplit = [" +
           split + "]\n" + rest;
}

#ifdef NDEBUG
constexpr bool optimized = true;
#else
constexpr bool optimized = false;
#endif

// A second is what it takes on a machine without other work; here counts what it costs. One of five
// tries must show it.
TEST(ReloadLarge, a_thousand_upstreams_cost_little) {
    EchoServer echo;
    const int upstreams = sized(1000);
    // (A page of metrics of that many backends would take longer than all the rest.)
    ProxyProcess proxy(large_config(echo.text(), upstreams, 1), {.check_counters = false});
    EXPECT_TRUE(echo_once(proxy.address()));
    std::chrono::nanoseconds cheapest = 1h;
    milliseconds fastest = 1h;
    for (int i = 2; i < 7; ++i) {
        Probe probe(proxy.address());
        proxy.rewrite(large_config(echo.text(), upstreams, i));
        const auto start = Clock::now();
        const auto before = cpu_of(proxy.pid());
        const Answer answer = reload_now(proxy);
        cheapest = std::min(cheapest, cpu_of(proxy.pid()) - before);
        fastest = std::min(fastest, since(start));
        ASSERT_EQ(answer.status, 200) << answer.text.substr(0, 2000);
        EXPECT_GE(changes_in(answer).size(), static_cast<std::size_t>(upstreams));
        const Probe::Result seen = probe.finish();
        EXPECT_EQ(seen.failed, 0U);
    }
    std::cout << "CPU time: " << cheapest / 1ms << " ms; time: " << fastest.count() << " ms\n";
    EXPECT_GT(cheapest, 0ms);
    EXPECT_LT(cheapest, scaled(optimized ? 4s : 30s));
}

/// Turns of any worker that kept others waiting for longer than 10 ms.
double long_turns(const ProxyProcess& proxy) {
    const MetricsPage page = metrics_of(proxy);
    return page.sum("penstock_worker_loop_lag_seconds_count") -
           page.sum("penstock_worker_loop_lag_seconds_bucket", {"le=\"0.01\""});
}

/// What the workers of a process, none of which has anything to do, have had since the last time.
class WorkerTimes {
public:
    explicit WorkerTimes(pid_t process) : process_(process) {
        std::vector<pid_t> workers;
        EXPECT_TRUE(wait_for([&] { return (workers = waiting_workers(process)).size() == 2; }));
        for (const pid_t worker : workers) last_[worker] = {};
    }
    /// The most that any had of each.
    CpuTime lap() {
        CpuTime most;
        for (auto& [worker, last] : last_) {
            const CpuTime now = time_of(process_, worker);
            most.ran = std::max(most.ran, now.ran - last.ran);
            most.waited = std::max(most.waited, now.waited - last.waited);
            last = now;
        }
        return most;
    }

private:
    pid_t process_;
    std::map<pid_t, CpuTime> last_;
};

// As above, one of several tries counts. A turn that was long because other programs had the CPU
// was none: then the worker itself did less in all. Every tenth upstream has a large table.
TEST(ReloadLarge, no_worker_notices) {
    EchoServer echo;
    const int upstreams = optimized && !sanitized ? 1000 : 50;
    // (A page of metrics of that many backends would take longer than all the rest.)
    ProxyProcess proxy(large_config(echo.text(), upstreams, 1, "maglev"),
                       {.check_counters = false});
    WorkerTimes workers(proxy.pid());
    bool unnoticed = false;
    double before = long_turns(proxy);
    for (int i = 2; i < 9 && !unnoticed; ++i) {
        proxy.rewrite(large_config(echo.text(), upstreams, i, "maglev"));
        EXPECT_TRUE(echo_once(proxy.address()));
        (void)workers.lap();
        ASSERT_EQ(reload_now(proxy).status, 200);
        EXPECT_TRUE(echo_once(proxy.address()));
        const CpuTime most = workers.lap();
        const double after = long_turns(proxy);
        std::cout << after - before << " long turns; a worker ran " << most.ran / 1us
                  << " us, and waited for a CPU " << most.waited / 1us << " us\n";
        unnoticed = after == before || (most.ran < 10ms && most.waited > 10ms);
        before = after;
    }
    EXPECT_TRUE(unnoticed);
}

}  // namespace
}  // namespace penstock::test
