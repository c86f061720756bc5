// What operators do after an upgrade counts for the sessions of the old process too.
#include <csignal>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

constexpr const char* short_drain = R"({ wait = "100ms", close_over = "100ms" })";

/// Its backends are b0, b1, ...; the old process keeps its sessions unless somebody ends them.
ConfigText upgradable(std::vector<std::string> backends) {
    ConfigText config = one_service(std::move(backends), "", std::string("drain = ") + short_drain);
    config.process = std::string("workers = 1\nupgrade_drain = ") + patient_drain;
    return config;
}

/// In the old process alone, once the new one knows of them.
std::vector<Socket> clients_left_behind(ProxyProcess& proxy, int count) {
    auto clients = clients_of(proxy, count);
    EXPECT_TRUE(proxy.upgrade());
    EXPECT_TRUE(wait_for([&] {
        const auto old = status_of(proxy).at("old_processes");
        return old.as_array().size() == 1 && old.at(0).at("connections") == count;
    }));
    return clients;
}

std::size_t count_ended(std::vector<Socket>& clients) {
    std::size_t ended = 0;
    for (Socket& client : clients)
        if (client.wait_end(10ms) != End::open) ++ended;
    return ended;
}

std::string door_of(const ProxyProcess& proxy) {
    return "unix:" + (proxy.directory() / "admin.sock").string();
}

/// Stands still as long as it lives, as one that is stuck.
class Stopped {
public:
    explicit Stopped(pid_t pid) : pid_(pid) { ::kill(pid, SIGSTOP); }
    ~Stopped() { ::kill(pid_, SIGCONT); }
    Stopped(const Stopped&) = delete;
    Stopped& operator=(const Stopped&) = delete;

private:
    pid_t pid_;
};

TEST(UpgradeOrders, a_session_of_the_old_process_is_killed_by_its_id) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    auto clients = clients_left_behind(proxy, 2);
    const auto sessions = get_json(proxy.admin(), "/api/v1/sessions");
    ASSERT_EQ(sessions.as_array().size(), 2U) << text(sessions);
    const auto victim = sessions.at(0);
    const std::string id(victim.at("id").as_string());
    const Finished killed = run_penstock({"kill", id, "--admin", door_of(proxy)});
    EXPECT_EQ(killed.exit_status, 0) << killed.errors;
    for (Socket& client : clients) {
        if (client.local().text() == victim.at("client").as_string()) {
            EXPECT_EQ(client.wait_end(), End::reset);
        } else {
            EXPECT_TRUE(ping(client));
        }
    }
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 1), "killed"), "");
    const Answer again = post(proxy, "/api/v1/sessions/" + id + "/kill");
    EXPECT_EQ(again.status, 404) << again.text;
}

TEST(UpgradeOrders, sessions_of_a_backend_are_ended_wherever_they_are) {
    EchoServer echo;
    ConfigText config = upgradable({echo.text()});
    config.process = changed(config.process, {{"workers = 1", "workers = 2"}});
    ProxyProcess proxy(config);
    auto old = clients_left_behind(proxy, 3);
    auto here = clients_of(proxy, 1);
    const std::string target = "/api/v1/upstreams/in/backends/b0/kill";
    const Answer dry = post(proxy, target, R"({"dry_run":true})");
    EXPECT_EQ(number(dry.body.at("sessions")), 4) << dry.text;
    EXPECT_EQ(number(dry.body.at("closing")), 4) << dry.text;
    EXPECT_EQ(number(dry.body.at("old_processes").at("closing")), 3) << dry.text;
    EXPECT_EQ(count_ended(old) + count_ended(here), 0U);
    const Answer half = post(proxy, target, R"({"share":0.5})");
    EXPECT_EQ(number(half.body.at("closing")), 2) << half.text;
    EXPECT_TRUE(wait_for([&] { return count_ended(old) + count_ended(here) == 2; }));
    const Finished rest = run_penstock({"kill", "--backend", "in/b0", "--admin", door_of(proxy)});
    EXPECT_EQ(rest.exit_status, 0) << rest.errors;
    EXPECT_NE(rest.output.find("ending 2 of 2 sessions"), std::string::npos) << rest.output;
    EXPECT_NE(rest.output.find("in old processes"), std::string::npos) << rest.output;
    EXPECT_TRUE(wait_for([&] { return count_ended(old) + count_ended(here) == 4; }));
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 4), "killed"), "");
}

TEST(UpgradeOrders, load_is_spread_anew_over_both_processes) {
    EchoServer a;
    ConfigText config = upgradable({a.text()});
    ProxyProcess proxy(config);
    auto old = clients_left_behind(proxy, 4);
    EchoServer b;
    config.services.front().backends.push_back(b.text());
    proxy.rewrite(config);
    ASSERT_TRUE(proxy.reload());
    const std::string target = "/api/v1/upstreams/in/rebalance";
    const Answer dry = post(proxy, target, R"({"max_share":1,"dry_run":true})");
    EXPECT_EQ(number(dry.body.at("sessions")), 4) << dry.text;
    EXPECT_EQ(number(dry.body.at("closing")), 2) << dry.text;
    EXPECT_EQ(count_ended(old), 0U);
    const Answer done = post(proxy, target, R"({"max_share":1,"over":"100ms"})");
    EXPECT_EQ(number(done.body.at("old_processes").at("closing")), 2) << done.text;
    EXPECT_TRUE(wait_for([&] { return count_ended(old) == 2; }));
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 2), "rebalanced"), "");
}

TEST(UpgradeOrders, maintenance_drains_the_sessions_of_the_old_process) {
    EchoServer a;
    EchoServer b;
    ProxyProcess proxy(upgradable({a.text(), b.text()}));
    auto clients = clients_left_behind(proxy, 4);
    const Answer set =
        post(proxy, "/api/v1/upstreams/in/backends/b0", R"({"state":"maintenance"})");
    EXPECT_EQ(set.status, 200) << set.text;
    EXPECT_EQ(set.body.as_object().if_contains("notes"), nullptr) << set.text;
    EXPECT_TRUE(wait_for([&] { return count_ended(clients) == 2; }));
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 2), "backend_removed"), "");
}

TEST(UpgradeOrders, a_backend_that_a_reload_removes_loses_its_sessions_everywhere) {
    EchoServer a;
    EchoServer b;
    ConfigText config = upgradable({a.text(), b.text()});
    ProxyProcess proxy(config);
    auto clients = clients_left_behind(proxy, 4);
    config.services.front().backends.pop_back();
    proxy.rewrite(config);
    const Answer plan = plan_of(proxy);
    EXPECT_NE(plan.text.find("2 of them in old processes"), std::string::npos) << plan.text;
    EXPECT_EQ(number(plan.body.at("sessions").at("draining")), 2) << plan.text;
    ASSERT_TRUE(proxy.reload());
    EXPECT_TRUE(wait_for([&] { return count_ended(clients) == 2; }));
    for (Socket& client : clients)
        if (client.wait_end(10ms) == End::open) {
            EXPECT_TRUE(ping(client));
        }
}

TEST(UpgradeOrders, a_listener_that_a_reload_removes_loses_its_sessions_everywhere) {
    EchoServer echo;
    ConfigText config = upgradable({echo.text()});
    config.services.push_back({.name = "other", .bind = "127.0.0.2:0", .backends = {echo.text()}});
    ProxyProcess proxy(config);
    auto kept = established(proxy.address("other"));
    ASSERT_TRUE(kept);
    auto clients = clients_of(proxy, 2);
    ASSERT_TRUE(proxy.upgrade());
    config.services.erase(config.services.begin());
    proxy.rewrite(config);
    ASSERT_TRUE(proxy.reload());
    EXPECT_TRUE(wait_for([&] { return count_ended(clients) == 2; }));
    EXPECT_TRUE(ping(*kept));
}

TEST(UpgradeOrders, clients_that_the_old_process_holds_are_served_after_resume) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    ASSERT_EQ(post(proxy, "/api/v1/upstreams/in/pause", R"({"max":"10m"})").status, 200);
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(wait_for([&] {  // until the worker knows of the pause
        client = Socket::connect(proxy.address());
        EXPECT_TRUE(client && client->send("hello"));
        return wait_for([&] { return upstream_of(proxy).at("held") == 1; }, 300ms);
    }));
    ASSERT_TRUE(proxy.upgrade());
    EXPECT_EQ(upstream_of(proxy).at("held"), 1);
    EXPECT_EQ(upstream_of(proxy).at("paused"), true);
    const Answer resumed = post(proxy, "/api/v1/upstreams/in/resume");
    EXPECT_EQ(resumed.status, 200) << resumed.text;
    EXPECT_EQ(client->receive_text(5), "hello");
    EXPECT_EQ(post(proxy, "/api/v1/upstreams/in/resume").status, 409);
}

TEST(UpgradeOrders, what_ended_in_the_old_process_is_among_the_closes) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    ASSERT_TRUE(echo_once(proxy.address()));
    auto clients = clients_left_behind(proxy, 2);
    clients.front().finish();
    EXPECT_EQ(clients.front().wait_end(), End::fin);
    const auto closes = [&](const std::string& query) {
        return get_json(proxy.admin(), "/api/v1/closes" + query).as_array().size();
    };
    EXPECT_TRUE(wait_for([&] { return closes("") == 2; }));
    EXPECT_EQ(closes("?limit=1"), 1U);
    EXPECT_EQ(closes("?reason=completed&upstream=in"), 2U);
    EXPECT_EQ(closes("?reason=killed"), 0U);
    EXPECT_EQ(closes("?upstream=out"), 0U);
}

TEST(UpgradeOrders, what_is_not_reached_is_told) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    auto clients = clients_left_behind(proxy, 2);
    const auto sessions = get_json(proxy.admin(), "/api/v1/sessions");
    const std::string id(sessions.at(0).at("id").as_string());
    const pid_t pid = proxy.old_pids().back();
    const std::string cure = "kill -TERM " + std::to_string(pid);
    {
        const Stopped stopped(pid);
        const Answer killed = post(proxy, "/api/v1/sessions/" + id + "/kill");
        EXPECT_EQ(killed.status, 409) << killed.text;
        EXPECT_NE(killed.text.find(cure), std::string::npos) << killed.text;
        const Answer ended = post(proxy, "/api/v1/upstreams/in/backends/b0/kill");
        EXPECT_EQ(ended.status, 200) << ended.text;
        EXPECT_EQ(number(ended.body.at("sessions")), 2) << ended.text;
        EXPECT_EQ(number(ended.body.at("closing")), 0) << ended.text;
        EXPECT_NE(ended.text.find(cure), std::string::npos) << ended.text;
        const Finished drained =
            run_penstock({"backend", "in/b0", "drain", "--admin", door_of(proxy)});
        EXPECT_EQ(drained.exit_status, 0) << drained.errors;
        EXPECT_NE(drained.output.find(cure), std::string::npos) << drained.output;
    }
    EXPECT_TRUE(wait_for([&] { return count_ended(clients) == 2; })) << "it has had its mail";
}

TEST(UpgradeOrders, a_kill_that_was_said_to_have_failed_is_not_done_later) {
    EchoServer echo;
    ProxyProcess proxy(upgradable({echo.text()}));
    auto clients = clients_left_behind(proxy, 1);
    const auto sessions = get_json(proxy.admin(), "/api/v1/sessions");
    const std::string id(sessions.at(0).at("id").as_string());
    {
        const Stopped stopped(proxy.old_pids().back());
        const Answer killed = post(proxy, "/api/v1/sessions/" + id + "/kill");
        EXPECT_EQ(killed.status, 409) << killed.text;
    }
    EXPECT_EQ(get_json(proxy.admin(), "/api/v1/sessions").as_array().size(), 1U)
        << "it has read all that it was told";
    EXPECT_TRUE(ping(clients.front()));
}

/// Clients in the first of two old processes; between it and the one that serves there is another.
std::vector<Socket> clients_two_upgrades_ago(ProxyProcess& proxy, int count) {
    auto clients = clients_of(proxy, count);
    EXPECT_TRUE(proxy.upgrade());
    EXPECT_TRUE(proxy.upgrade());
    EXPECT_TRUE(wait_for([&] {  // the one in the middle has nobody, and ends
        const auto old = status_of(proxy).at("old_processes");
        return old.as_array().size() == 1 && old.at(0).at("connections") == count;
    }));
    return clients;
}

TEST(UpgradeOrders, U4_the_first_of_three_processes_is_within_reach_when_the_second_has_ended) {
    EchoServer a;
    EchoServer b;
    ConfigText config = upgradable({a.text(), b.text()});
    ProxyProcess proxy(config);
    auto clients = clients_two_upgrades_ago(proxy, 4);
    EXPECT_EQ(get_json(proxy.admin(), "/api/v1/sessions").as_array().size(), 4U);
    const Answer killed = post(proxy, "/api/v1/upstreams/in/backends/b0/kill");
    EXPECT_EQ(number(killed.body.at("closing")), 2) << killed.text;
    EXPECT_TRUE(wait_for([&] { return count_ended(clients) == 2; }));
    config.services.front().backends.pop_back();
    proxy.rewrite(config);
    ASSERT_TRUE(proxy.reload());
    EXPECT_TRUE(wait_for([&] { return count_ended(clients) == 4; }));
}

TEST(UpgradeOrders, one_that_stands_still_holds_up_nobody_and_nothing_is_overtaken) {
    EchoServer echo;
    std::vector<std::string> many(12, echo.text());
    ConfigText config = upgradable(many);
    ProxyProcess proxy(config);
    auto first = clients_of(proxy, 12);
    ASSERT_TRUE(proxy.upgrade());
    auto second = clients_of(proxy, 1);
    ASSERT_TRUE(proxy.upgrade());
    ASSERT_TRUE(
        wait_for([&] { return status_of(proxy).at("old_processes").as_array().size() == 2; }));
    const ConfigText all = config;
    {
        const Stopped stopped(proxy.old_pids().back());
        config.services.front().backends.resize(2);
        proxy.rewrite(config);
        ASSERT_TRUE(proxy.reload());
        EXPECT_TRUE(wait_for([&] { return count_ended(first) == 10; }))
            << "the other one has heard of it at once";
        const auto begin = Clock::now();
        EXPECT_EQ(get_json(proxy.admin(), "/api/v1/sessions").as_array().size(), 2U);
        EXPECT_LT(since(begin), scaled(8s)) << "not three seconds for each backend";
        proxy.rewrite(all);
        ASSERT_TRUE(proxy.reload());
    }
    // It hears that all but two have left, and that they are back: its session is none of those two
    // backends' at random, but it lives in any case.
    EXPECT_TRUE(wait_for(
        [&] { return get_json(proxy.admin(), "/api/v1/sessions").as_array().size() == 3U; }));
    EXPECT_TRUE(ping(second.front()));
}

TEST(UpgradeOrders, an_address_that_is_put_back_keeps_its_sessions) {
    EchoServer a;
    EchoServer b;
    ConfigText config = upgradable({a.text()});
    ProxyProcess proxy(config);
    auto clients = clients_of(proxy, 2);
    const ConfigText before = config;
    config.services.front().backends = {b.text()};
    proxy.rewrite(config);
    ASSERT_TRUE(proxy.upgrade());
    proxy.rewrite(before);
    ASSERT_TRUE(proxy.reload());
    ASSERT_TRUE(wait_for(
        [&] { return get_json(proxy.admin(), "/api/v1/sessions").as_array().size() == 2U; }));
    EXPECT_EQ(clients.front().wait_end(1s), End::open) << "the drain takes 200 ms";
    EXPECT_EQ(count_ended(clients), 0U);
    proxy.rewrite(config);
    ASSERT_TRUE(proxy.reload());
    EXPECT_TRUE(wait_for([&] { return count_ended(clients) == 2; }));
}

TEST(UpgradeOrders, a_term_to_the_old_process_shows_in_the_time_that_it_has_left) {
    EchoServer echo;
    ConfigText config = upgradable({echo.text()});
    config.drain = R"({ wait = "60s", close_over = "1s" })";
    ProxyProcess proxy(config);
    auto clients = clients_left_behind(proxy, 1);
    const auto left = [&] {
        return number(status_of(proxy).at("old_processes").at(0).at("s_left"));
    };
    EXPECT_GT(left(), 100);
    ASSERT_EQ(::kill(proxy.old_pids().back(), SIGTERM), 0);
    EXPECT_TRUE(wait_for([&] { return left() <= 61; }));
    EXPECT_TRUE(ping(clients.front()));
}

}  // namespace
}  // namespace penstock::test
