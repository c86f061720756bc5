// Another binary takes over: nothing is refused, reset or lost, and one scrape tells the whole
// truth.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

ConfigText upgradable(std::vector<std::string> backends, const std::string& process = "",
                      const std::string& upgrade_drain = patient_drain) {
    ConfigText config = one_service(std::move(backends));
    config.process = "workers = 2\nupgrade_drain = " + upgrade_drain + "\n" + process;
    return config;
}

/// By the API; follows the new process. `sessions`: how many the old one goes on with, where the
/// test knows.
bool upgrade_now(ProxyProcess& proxy, std::optional<double> sessions = {}) {
    proxy.guard_group();
    const Answer answer = post(proxy, "/api/v1/upgrade", "", 100s);
    EXPECT_EQ(answer.status, 200) << answer.text << "\n" << proxy.errors().substr(0, 5000);
    if (answer.status != 200) return false;
    const auto pid = answer.body.at("pid").to_number<pid_t>();
    EXPECT_NE(pid, proxy.pid());
    EXPECT_FALSE(answer.body.at("version").as_string().empty());
    const double left = number(answer.body.at("sessions"));
    EXPECT_EQ(left, sessions.value_or(left));
    proxy.follow_upgrade(pid);
    return true;
}

std::size_t old_processes_of(const ProxyProcess& proxy) {
    return status_of(proxy).at("old_processes").as_array().size();
}

TEST(Upgrade, a_new_process_serves_and_the_old_one_goes_on_with_its_sessions) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    const Address address = proxy.address();
    auto old = established(address);
    ASSERT_TRUE(old);
    const pid_t first = proxy.pid();
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_NE(proxy.pid(), first);
    EXPECT_TRUE(ping(*old));
    EXPECT_TRUE(echo_once(address));
    const auto status = status_of(proxy);
    EXPECT_EQ(number(status.at("pid")), proxy.pid());
    ASSERT_EQ(status.at("old_processes").as_array().size(), 1U) << text(status);
    const auto& told = status.at("old_processes").at(0);
    EXPECT_EQ(number(told.at("pid")), first);
    EXPECT_FALSE(told.at("version").as_string().empty());
    EXPECT_TRUE(wait_for([&] {
        const auto now = status_of(proxy).at("old_processes");
        return now.as_array().size() == 1 && now.at(0).at("connections") == 1;
    }));
    bool listed = false;
    const auto sessions = get_json(proxy.admin(), "/api/v1/sessions");
    for (const auto& session : sessions.as_array()) {
        listed |= session.at("client").as_string() == old->local().text() &&
                  text(session.at("worker")) == "\"old-" + std::to_string(first) + "\"";
    }
    EXPECT_TRUE(listed) << text(sessions);
    old->finish();
    EXPECT_EQ(old->wait_end(), End::fin);
    EXPECT_TRUE(wait_for([&] { return proxy.old_running() == 0; })) << "nothing keeps it";
    EXPECT_TRUE(wait_for([&] { return old_processes_of(proxy) == 0; }));
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 2), "completed"), "");
    const auto has_event = [&] {
        const auto events = get_json(proxy.admin(), "/api/v1/events");
        for (const auto& event : events.as_array())
            if (event.at("kind") == "upgrade") return true;
        return false;
    };
    EXPECT_TRUE(has_event());
}

TEST(Upgrade, without_sessions_the_old_process_ends_at_once) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    EXPECT_TRUE(status_of(proxy).at("took_over_from").is_null());
    for (int i = 1; i <= 3; ++i) {
        const pid_t before = proxy.pid();
        ASSERT_TRUE(upgrade_now(proxy));
        EXPECT_TRUE(wait_for([&] { return proxy.old_running() == 0; }, promptly)) << i;
        EXPECT_TRUE(echo_once(proxy.address()));
        EXPECT_EQ(number(status_of(proxy).at("took_over_from")), before) << "no restart";
    }
}

TEST(Upgrade, signals_that_come_meanwhile_do_not_disturb_it) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    for (int i = 0; i < 3; ++i) {
        const pid_t old = proxy.pid();
        std::atomic<bool> over = false;
        std::thread rain([&] {
            while (!over && ::kill(old, SIGUSR1) == 0) std::this_thread::yield();
        });
        const bool upgraded = upgrade_now(proxy);
        over = true;
        rain.join();
        ASSERT_TRUE(upgraded) << i;
        EXPECT_TRUE(echo_once(proxy.address()));
        EXPECT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
    }
}

TEST(Upgrade, the_command_says_who_serves_now) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    auto old = established(proxy.address());
    ASSERT_TRUE(old);
    const pid_t first = proxy.pid();
    proxy.guard_group();
    const Finished finished = run_penstock(
        {"upgrade", "--admin", "unix:" + (proxy.directory() / "admin.sock").string()}, 100s);
    ASSERT_EQ(finished.exit_status, 0) << finished.errors;
    const pid_t now = status_of(proxy).at("pid").to_number<pid_t>();
    ASSERT_NE(now, first);
    proxy.follow_upgrade(now);
    EXPECT_NE(finished.output.find(std::to_string(now)), std::string::npos) << finished.output;
    EXPECT_NE(finished.output.find(std::to_string(first)), std::string::npos) << finished.output;
}

TEST(Upgrade, the_configuration_on_disk_is_what_the_new_process_runs) {
    EchoServer a;
    EchoServer b;
    ConfigText config = upgradable({a.text()});
    ProxyProcess proxy(config);
    auto old = established(proxy.address());
    ASSERT_TRUE(old);
    config.process = "workers = 3\nupgrade_drain = " + std::string(patient_drain);
    config.services[0].backends = {b.text()};
    config.services.push_back({.name = "more", .bind = own_address(7001), .backends = {b.text()}});
    proxy.rewrite(config);
    ASSERT_TRUE(upgrade_now(proxy, 1));
    EXPECT_EQ(status_of(proxy).at("workers").as_array().size(), 3U) << "what a reload cannot do";
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 1U);
    EXPECT_EQ(served_by(Address::parse(own_address(7001)), {&a, &b}), 1U);
    EXPECT_TRUE(ping(*old));
    EXPECT_EQ(a.open(), 1U);
}

TEST(FaultsU, U1_upgrades_under_load_lose_nothing) {
    EchoServer echo;
    const auto long_lived = static_cast<std::size_t>(sized(500));
    const int upgrades = sized(50, 10);
    Traffic traffic(
        {.per_second = full_rate(), .long_lived = long_lived, .life = 8s, .limit = 40s});
    ConfigText config = upgradable(traffic.backends(), "max_old_processes = 100");
    ProxyProcess proxy(config);
    const Address address = proxy.address();
    traffic.start({address});
    ASSERT_TRUE(wait_for([&] { return traffic.living() >= long_lived; }));
    for (int i = 0; i < upgrades; ++i) {
        const bool good = i % 2 ? upgrade_now(proxy) : proxy.upgrade(60s);
        ASSERT_TRUE(good) << i;
        ASSERT_TRUE(traffic.wait_for_more(static_cast<std::uint64_t>(sized(100)))) << i;
    }
    expect_no_loss(traffic, proxy);
    EXPECT_TRUE(wait_for([&] { return proxy.old_running() == 0; }, 60s));
    EXPECT_TRUE(wait_for([&] { return old_processes_of(proxy) == 0; }));
    const MetricsPage page = metrics_of(proxy);
    EXPECT_EQ(page.sum("penstock_listener_connections_total"),
              static_cast<double>(traffic.opened()));
    EXPECT_EQ(page.sum("penstock_sessions_closed_total"), static_cast<double>(traffic.opened()));
    EXPECT_EQ(page.sum("penstock_connections_active"), 0);
}

// Each process is a fresh one; what grows is what it was told by those before it.
TEST(FaultsU, U1_memory_and_descriptors_return) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    auto open = established(proxy.address());  // the first process lives as long as the test
    ASSERT_TRUE(open);
    const auto upgrade_often = [&](int times) {
        for (int i = 0; i < times; ++i) {
            ASSERT_TRUE(upgrade_now(proxy)) << i;
            EXPECT_TRUE(echo_once(proxy.address()));
            ASSERT_TRUE(wait_for([&] { return old_processes_of(proxy) == 1; })) << i;
        }
    };
    upgrade_often(3);
    const std::size_t descriptors = proxy.descriptors();
    // What is passed on grows each time, unlike what the allocator keeps of a moment. Sanitizers
    // have their own.
    EXPECT_TRUE(in_one_of_three_windows([&] {
        const std::uint64_t memory = proxy.private_memory();
        upgrade_often(sized(12, 2));
        const std::uint64_t later = proxy.private_memory();
        std::cout << "private memory: " << memory << " -> " << later << "\n";
        return sanitized || later < memory + 2 * 1024 * 1024;
    }));
    // It may have been counted while a connection of before was about to be closed.
    EXPECT_TRUE(wait_for([&] { return proxy.descriptors() <= descriptors; }))
        << descriptors << " -> " << proxy.descriptors();
    EXPECT_TRUE(ping(*open));
}

TEST(FaultsU, U1_reloads_and_upgrades_in_turn_lose_nothing) {
    Traffic traffic({.per_second = full_rate() / 4,
                     .long_lived = static_cast<std::size_t>(sized(50)),
                     .life = 3s});
    ConfigText config = upgradable(traffic.backends(), "max_old_processes = 100");
    ProxyProcess proxy(config);
    traffic.start({proxy.address()});
    for (int i = 0; i < sized(10); ++i) {
        config.services[0].upstream = "attempts = " + std::to_string(2 + i % 3);
        config.services[0].balance = i % 2 ? "p2c" : "round_robin";
        ASSERT_TRUE(proxy.change_to(config)) << i;
        ASSERT_TRUE(upgrade_now(proxy)) << i;
        ASSERT_TRUE(traffic.wait_for_more(static_cast<std::uint64_t>(sized(50)))) << i;
    }
    expect_no_loss(traffic, proxy);
}

// The queues of all sockets of a listener, filled while nobody accepts.
TEST(FaultsU, U3_connections_that_wait_in_the_queues_are_served) {
    EchoServer echo;
    for (int round = 0; round < 3; ++round) {
        ProxyProcess proxy(upgradable({echo.text()}));
        const Address address = proxy.address();
        proxy.guard_group();
        proxy.signal(SIGSTOP);
        std::vector<Socket> clients;
        for (int i = 0; i < 200; ++i) {
            auto client = Socket::connect(address);
            ASSERT_TRUE(client && client->send("hello"));
            clients.push_back(std::move(*client));
        }
        proxy.signal(SIGUSR2);
        proxy.signal(SIGCONT);
        const pid_t first = proxy.pid();
        pid_t now = first;
        ASSERT_TRUE(wait_for([&] {
            const HttpAnswer answer = proxy.admin().get("/api/v1/status");
            if (answer.status == 200) now = json::parse(answer.body).at("pid").to_number<pid_t>();
            return now != first;
        }));
        proxy.follow_upgrade(now);
        for (Socket& client : clients) EXPECT_EQ(client.receive_text(5), "hello");
        for (Socket& client : clients) client.finish();
        for (Socket& client : clients) EXPECT_EQ(client.wait_end(), End::fin);
        EXPECT_EQ(reasons_other_than(expect_lines(proxy, clients.size()), "completed"), "");
    }
}

// The same at the other end: the new process stands still when it has just taken over.
TEST(FaultsU, U3_those_who_come_while_the_new_process_is_not_there_yet_wait) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    const Address address = proxy.address();
    ASSERT_TRUE(upgrade_now(proxy));
    ASSERT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
    proxy.signal(SIGSTOP);
    std::vector<Socket> clients;
    for (int i = 0; i < 100; ++i) {
        auto client = Socket::connect(address);
        ASSERT_TRUE(client && client->send("hello"));
        clients.push_back(std::move(*client));
    }
    proxy.signal(SIGCONT);
    for (Socket& client : clients) EXPECT_EQ(client.receive_text(5), "hello");
}

/// How many processes have said that they drain the one client that they have.
std::size_t drains_of_one(const std::string& log) {
    constexpr std::string_view words = "draining 1 connection:";
    std::size_t found = 0;
    for (auto at = log.find(words); at != std::string::npos; at = log.find(words, at + 1)) ++found;
    return found;
}

// As many may have connections when an upgrade begins.
TEST(FaultsU, U4_old_processes_are_no_more_than_is_allowed) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}, "max_old_processes = 1"));
    const Address address = proxy.address();
    std::vector<Socket> clients;
    Answer refused;
    for (int i = 0; i < 6; ++i) {
        auto client = established(address);
        ASSERT_TRUE(client);
        clients.push_back(std::move(*client));
        proxy.guard_group();
        refused = post(proxy, "/api/v1/upgrade", "", 100s);
        if (refused.status != 200) break;
        proxy.follow_upgrade(refused.body.at("pid").to_number<pid_t>());
        // Until the one before has let go of its sockets it may get the next client as well.
        ASSERT_TRUE(wait_for([&] { return drains_of_one(proxy.errors()) == clients.size(); }))
            << proxy.errors();
    }
    EXPECT_EQ(refused.status, 409) << refused.text;
    EXPECT_NE(refused.text.find("max_old_processes"), std::string::npos) << refused.text;
    EXPECT_EQ(proxy.old_running(), 2U);
    EXPECT_EQ(clients.size(), 3U);
    for (Socket& client : clients) EXPECT_TRUE(ping(client));
    EXPECT_EQ(old_processes_of(proxy), 2U);
    EXPECT_TRUE(echo_once(address));
    // Room again: who has nothing left to do goes.
    clients.front().finish();
    EXPECT_EQ(clients.front().wait_end(), End::fin);
    ASSERT_TRUE(wait_for([&] { return proxy.old_running() == 1; }));
    ASSERT_TRUE(wait_for([&] { return old_processes_of(proxy) == 1; }));
    EXPECT_TRUE(upgrade_now(proxy));
    for (std::size_t i = 1; i < clients.size(); ++i) EXPECT_TRUE(ping(clients[i])) << i;
}

// All of them live of one limit, where the cgroup has it.
TEST(FaultsU, U4_memory_of_old_processes_counts_against_the_limit_of_the_cgroup) {
    EchoServer echo;
    ProxyProcess proxy(
        upgradable({echo.text()}),
        {.wrapper = {"unshare", "--mount", "sh", "-c",
                     "mount -t tmpfs tmpfs /sys/fs/cgroup && echo max >/sys/fs/cgroup/memory.max "
                     "&& exec \"$0\" \"$@\""}});
    const auto root = "/proc/" + std::to_string(proxy.pid()) + "/root";
    auto old = established(proxy.address());
    ASSERT_TRUE(old);
    const double one = metrics_of(proxy).value("process_resident_memory_bytes");
    // Enough for one, and not for two.
    std::ofstream(root + "/sys/fs/cgroup/memory.max") << static_cast<std::uint64_t>(1.6 * one);
    ASSERT_TRUE(upgrade_now(proxy));
    const auto overload_is = [&](bool active) {
        return wait_for([&] { return status_of(proxy).at("memory").at("overload") == active; });
    };
    EXPECT_TRUE(overload_is(true)) << text(status_of(proxy));
    EXPECT_TRUE(ping(*old));
    old->finish();
    EXPECT_EQ(old->wait_end(), End::fin);
    EXPECT_TRUE(overload_is(false)) << text(status_of(proxy));
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(FaultsU, U4_an_old_process_ends_its_sessions_in_the_end) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}, "", R"({ wait = "1s", close_over = "300ms" })"));
    auto clients = clients_of(proxy, 5);
    const auto start = Clock::now();
    ASSERT_TRUE(upgrade_now(proxy));
    const auto told = status_of(proxy).at("old_processes");
    if (!told.as_array().empty()) {
        EXPECT_LE(number(told.at(0).at("s_left")), 2);
    }
    for (Socket& client : clients) EXPECT_NE(client.wait_end(), End::open);
    EXPECT_GE(since(start), 1s);
    EXPECT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 5), "drained"), "");
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(FaultsU, U5_unix_and_abstract_sockets_go_over) {
    EchoServer echo;
    ConfigText config = upgradable({echo.text()});
    config.services.push_back(
        {.name = "path", .bind = "unix:@DIR@/in.sock", .backends = {echo.text()}});
    const std::string abstract = "unix:@penstock-test-" + own_address(1);
    config.services.push_back({.name = "abstract", .bind = abstract, .backends = {echo.text()}});
    ProxyProcess proxy(config);
    const auto file = proxy.directory() / "in.sock";
    const Address path = Address::parse("unix:" + file.string());
    std::atomic<bool> stop = false;
    std::atomic<int> failed = 0;
    std::atomic<int> served = 0;
    std::thread clients([&] {
        while (!stop) {
            for (const Address& address : {path, Address::parse(abstract), proxy.address()})
                ++(echo_once(address) ? served : failed);
        }
    });
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(upgrade_now(proxy));
        EXPECT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
        EXPECT_TRUE(std::filesystem::exists(file)) << "the old one left it alone";
        const int before = served;
        EXPECT_TRUE(wait_for([&] { return served > before + 10; }));
    }
    stop = true;
    clients.join();
    EXPECT_EQ(failed, 0);
    proxy.stop();
    EXPECT_FALSE(std::filesystem::exists(file)) << "the last one takes it along";
}

TEST(FaultsU, U5_what_was_counted_stays_counted) {
    EchoServer echo;
    Traffic traffic({.per_second = full_rate() / 10, .long_lived = 20, .life = 2s});
    ConfigText config = upgradable(traffic.backends(), "max_old_processes = 100");
    config.services.push_back({.name = "quiet", .bind = "127.0.0.2:0", .backends = {echo.text()}});
    ProxyProcess proxy(config);
    EXPECT_TRUE(echo_once(proxy.address("quiet")));
    traffic.start({proxy.address()});
    ASSERT_TRUE(traffic.wait_for_more(50));
    MetricsPage before = metrics_of(proxy);
    for (int i = 0; i < sized(5); ++i) {
        ASSERT_TRUE(upgrade_now(proxy));
        // At once, a second later (when the old ones report), and once some have gone.
        for (int look = 0; look < 20; ++look) {
            const MetricsPage after = metrics_of(proxy);
            const auto back = went_backwards(before, after);
            ASSERT_TRUE(back.empty()) << i << ", look " << look << ": " << back.front();
            before = after;
            ASSERT_TRUE(traffic.wait_for_more(5));
        }
    }
    EXPECT_GE(before.value("penstock_listener_connections_total{listener=\"quiet\"}"), 1);
    EXPECT_GE(before.value("penstock_connections_active"), 20) << "those of old processes count";
    expect_no_loss(traffic, proxy, 1);
}

TEST(FaultsU, U5_log_files_are_written_on_and_reopened) {
    EchoServer echo;
    ConfigText config = upgradable({echo.text()});
    config.log = "target = \"@DIR@/penstock.log\"";
    ProxyProcess proxy(config);
    auto old = established(proxy.address());
    ASSERT_TRUE(old);
    ASSERT_TRUE(upgrade_now(proxy));
    EXPECT_TRUE(echo_once(proxy.address()));
    old->finish();
    EXPECT_EQ(old->wait_end(), End::fin);
    EXPECT_TRUE(wait_for([&] { return proxy.old_running() == 0; }));
    EXPECT_EQ(expect_lines(proxy, 2).size(), 2U) << "of both, in one file";
    const auto log = proxy.directory() / "penstock.log";
    std::filesystem::rename(log, proxy.directory() / "penstock.log.1");
    proxy.signal(SIGUSR1);
    EXPECT_TRUE(wait_for([&] { return std::filesystem::exists(log); }));
}

TEST(FaultsU, U5_term_to_the_new_process_leaves_the_old_one_its_sessions) {
    EchoServer echo;
    ConfigText config = upgradable({echo.text()});
    config.drain = patient_drain;
    ProxyProcess proxy(config);
    const Address address = proxy.address();
    auto old = established(address);
    ASSERT_TRUE(old);
    ASSERT_TRUE(upgrade_now(proxy));
    const pid_t first = proxy.old_pids().at(0);
    proxy.signal(SIGTERM);
    EXPECT_TRUE(stops_accepting(address)) << "nobody else holds the port open";
    EXPECT_TRUE(ping(*old));
    old->finish();
    EXPECT_EQ(old->wait_end(), End::fin);
    proxy.wait_exit();
    EXPECT_TRUE(wait_for([&] { return !proxy.child().running(); }));
    EXPECT_EQ(proxy.child().pid(), first);
    ASSERT_TRUE(proxy.child().status());
    EXPECT_TRUE(WIFEXITED(*proxy.child().status()) && WEXITSTATUS(*proxy.child().status()) == 0);
}

TEST(FaultsU, U5_a_killed_old_process_is_missed_and_no_more) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}), {.check_counters = false});
    auto old = established(proxy.address());
    ASSERT_TRUE(old);
    ASSERT_TRUE(upgrade_now(proxy));
    ASSERT_TRUE(wait_for([&] { return old_processes_of(proxy) == 1; }));
    const double before = metrics_of(proxy).sum("penstock_listener_connections_total");
    proxy.child().signal(SIGKILL);
    EXPECT_NE(old->wait_end(), End::open);
    EXPECT_TRUE(wait_for([&] { return old_processes_of(proxy) == 0; }));
    EXPECT_GE(metrics_of(proxy).sum("penstock_listener_connections_total"), before);
    EXPECT_EQ(metrics_of(proxy).value("penstock_connections_active"), 0);
    EXPECT_TRUE(echo_once(proxy.address()));
    proxy.signal(SIGTERM);
    proxy.wait_exit();
}

// "" = nobody, the proxy itself.
std::string actor_of_pause(const ProxyProcess& proxy) {
    const auto events = get_json(proxy.admin(), "/api/v1/events");
    for (const auto& event : events.as_array())
        if (const auto* actor = event.as_object().if_contains("actor");
            actor != nullptr && event.at("kind") == "pause")
            return text(*actor);
    return "";
}

TEST(Upgrade, what_an_operator_has_changed_goes_over) {
    EchoServer a;
    EchoServer b;
    ConfigText config = upgradable({a.text(), b.text()});
    config.services.push_back({.name = "v1", .bind = "127.0.0.2:0", .backends = {a.text()}});
    config.services.push_back({.name = "v2", .bind = "127.0.0.3:0", .backends = {b.text()}});
    const std::string toml =
        config.toml() +
        "\n[[listener]]\nname = \"both\"\nbind = \"127.0.0.4:0\"\nsplit = [ { "
        "upstream = \"v1\", weight = 1 }, { upstream = \"v2\", weight = 1 } ]\n";
    ProxyProcess proxy(toml);
    ASSERT_EQ(post(proxy, "/api/v1/upstreams/in/backends/b0", R"({"state":"drain"})").status, 200);
    ASSERT_EQ(post(proxy, "/api/v1/upstreams/in/backends/b1", R"({"weight":7})").status, 200);
    ASSERT_EQ(post(proxy, "/api/v1/listeners/both/split", R"({"v1":9,"v2":1})").status, 200);
    ASSERT_EQ(post(proxy, "/api/v1/upstreams/v1/pause", R"({"max":"10m"})").status, 200);
    ASSERT_EQ(post(proxy, "/api/v1/drain", R"({"listener":"in"})").status, 200);
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(upgrade_now(proxy));
        EXPECT_EQ(backend_of(proxy, "b0").at("override").at("state"), "drain");
        EXPECT_EQ(backend_of(proxy, "b1").at("override").at("weight"), 7);
        EXPECT_NE(text(backend_of(proxy, "b1").at("override").at("by")).find("uid"),
                  std::string::npos);
        EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 1U);
        EXPECT_EQ(upstream_of(proxy, "v1").at("paused"), true);
        EXPECT_NE(actor_of_pause(proxy).find("uid"), std::string::npos);
        const auto listeners = get_json(proxy.admin(), "/api/v1/listeners");
        for (const auto& listener : listeners.as_array()) {
            if (listener.at("name") == "both") {
                EXPECT_EQ(number(listener.at("split").at("v1")), 9);
            }
            if (listener.at("name") == "in") {
                EXPECT_EQ(listener.at("draining"), true);
            }
        }
    }
}

TEST(Upgrade, what_an_operator_has_changed_ends_where_the_file_changes_that_very_thing) {
    EchoServer a;
    EchoServer b;
    ConfigText config = upgradable({a.text(), b.text()});
    config.services.push_back({.name = "v1", .bind = "127.0.0.2:0", .backends = {a.text()}});
    config.services.push_back({.name = "v2", .bind = "127.0.0.3:0", .backends = {b.text()}});
    const auto with_split = [&](int one) {
        return config.toml() +
               "\n[[listener]]\nname = \"both\"\nbind = \"127.0.0.4:0\"\nsplit = [ { "
               "upstream = \"v1\", weight = " +
               std::to_string(one) + " }, { upstream = \"v2\", weight = 1 } ]\n";
    };
    ProxyProcess proxy(with_split(1));
    const std::string backends = "/api/v1/upstreams/in/backends/";
    ASSERT_EQ(post(proxy, backends + "b0", R"({"state":"drain"})").status, 200);
    ASSERT_EQ(post(proxy, backends + "b0", R"({"weight":7})").status, 200);
    ASSERT_EQ(post(proxy, backends + "b1", R"({"weight":7})").status, 200);
    ASSERT_EQ(post(proxy, "/api/v1/listeners/both/split", R"({"v1":9,"v2":1})").status, 200);
    config.services[0].backends[0] = "address = \"" + a.text() + "\"\nweight = 3";
    proxy.rewrite(with_split(2));
    ASSERT_TRUE(upgrade_now(proxy));
    EXPECT_EQ(backend_of(proxy, "b0").at("weight"), 3) << "the file has the last word";
    EXPECT_EQ(backend_of(proxy, "b0").at("state"), "drain") << "it has not changed that";
    EXPECT_EQ(backend_of(proxy, "b1").at("weight"), 7);
    const auto weight = [&] {
        const auto listeners = get_json(proxy.admin(), "/api/v1/listeners");
        for (const auto& listener : listeners.as_array())
            if (listener.at("name") == "both") return number(listener.at("split").at("v1"));
        return -1.0;
    };
    EXPECT_EQ(weight(), 2);
    // Without a change of the file they last, however often.
    ASSERT_EQ(post(proxy, "/api/v1/listeners/both/split", R"({"v1":9,"v2":1})").status, 200);
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(upgrade_now(proxy));
        EXPECT_EQ(weight(), 9);
        EXPECT_EQ(backend_of(proxy, "b0").at("state"), "drain");
        EXPECT_EQ(backend_of(proxy, "b1").at("weight"), 7);
    }
}

TEST(Upgrade, a_session_of_an_old_process_can_be_found_by_the_commands) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    std::vector<Socket> clients;
    std::vector<pid_t> pids;
    // Both accept for a moment: another client comes until one is the new process's.
    const auto has_one = [&] {
        auto client = established(proxy.address());
        if (client) clients.push_back(std::move(*client));
        const auto sessions = get_json(proxy.admin(), "/api/v1/sessions");
        return std::ranges::any_of(sessions.as_array(), [](const json::value& session) {
            return session.at("worker").is_number();
        });
    };
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(wait_for(has_one));
        pids.push_back(proxy.pid());
        if (i < 2) {
            ASSERT_TRUE(upgrade_now(proxy));
        }
    }
    // The newest speaks to all of them, also to one that another one has taken over from.
    ASSERT_EQ(old_processes_of(proxy), 2U) << proxy.errors();
    const auto sessions = get_json(proxy.admin(), "/api/v1/sessions");
    ASSERT_EQ(sessions.as_array().size(), clients.size()) << text(sessions);
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_NE(text(sessions).find("\"old-" + std::to_string(pids[i]) + "\""),
                  std::string::npos);
    }
    const Finished listed = run_penstock(
        {"sessions", "--admin", "unix:" + (proxy.directory() / "admin.sock").string()});
    EXPECT_EQ(listed.exit_status, 0) << listed.errors;
    for (Socket& client : clients)
        EXPECT_NE(listed.output.find(client.local().text()), std::string::npos) << listed.output;
}

}  // namespace
}  // namespace penstock::test
