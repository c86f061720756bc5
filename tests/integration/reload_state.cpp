// What a reload must leave alone: what the proxy has learned, counted and been told, and clients.
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <optional>

#include "tests/integration/change_scenario.hpp"
#include "tests/support/counter_check.hpp"
#include "tests/support/counting_backend.hpp"

namespace penstock::test {
namespace {

constexpr const char* quick_check =
    "panic_threshold = 0\nhealth_check = { type = \"tcp\", interval = \"100ms\", "
    "fast_interval = \"50ms\", down_interval = { base = \"50ms\", max = \"100ms\" } }\n";

/// Something of the upstream that has nothing to do with the state at hand.
std::string with_attempts(const std::string& lines, int attempts) {
    return lines + "attempts = " + std::to_string(attempts) + "\n";
}

/// Milliseconds of the minute: that clock and the steady one do not tick together.
int ms_of_minute(const json::value& time) {
    const std::string digits(time.as_string());
    return std::stoi(digits.substr(17, 2)) * 1000 + std::stoi(digits.substr(20, 3));
}

TEST(ReloadKeeps, verdicts_of_checks) {
    ChaosBackend down(scripts::echo());
    EchoServer up;
    down.stop_listening();
    ConfigText config = one_service({down.text(), up.text()}, "", with_attempts(quick_check, 1));
    ProxyProcess proxy(config);
    ASSERT_TRUE(
        wait_for([&] { return backend_of(proxy, "b0").at("check").at("state") == "down"; }));
    const auto before = backend_of(proxy, "b0").at("check");
    const MetricsPage page = metrics_of(proxy);
    config.services[0].upstream = with_attempts(quick_check, 2);
    ASSERT_EQ((proxy.rewrite(config), reload_now(proxy)).status, 200);
    const auto after = backend_of(proxy, "b0").at("check");
    EXPECT_EQ(after.at("state"), "down");
    EXPECT_NEAR(ms_of_minute(after.at("since")), ms_of_minute(before.at("since")), 3);
    EXPECT_EQ(backend_of(proxy, "b1").at("check").at("state"), "up");
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    const auto back = went_backwards(page, metrics_of(proxy));
    EXPECT_TRUE(back.empty()) << back.front();
    // The checks themselves go on.
    down.start_listening();
    EXPECT_TRUE(wait_for([&] { return backend_of(proxy, "b0").at("check").at("state") == "up"; }));
}

TEST(ReloadKeeps, a_changed_check_starts_from_the_verdict_there_was) {
    ChaosBackend backend(scripts::echo());
    ConfigText config = one_service({backend.text()}, "", quick_check);
    ProxyProcess proxy(config);
    // Hours between checks: a verdict that began anew would stay unknown.
    config.services[0].upstream =
        "health_check = { type = \"tcp\", interval = \"1h\", timeout = \"2s\" }\n";
    ASSERT_EQ((proxy.rewrite(config), reload_now(proxy)).status, 200);
    EXPECT_EQ(backend_of(proxy, "b0").at("check").at("state"), "up");
    EXPECT_TRUE(echo_once(proxy.address()));
    // And back: the next one is not hours away.
    config.services[0].upstream = quick_check;
    ASSERT_TRUE(proxy.change_to(config));
    backend.stop_listening();
    EXPECT_TRUE(
        wait_for([&] { return backend_of(proxy, "b0").at("check").at("state") == "down"; }));
    backend.start_listening();
    EXPECT_TRUE(wait_for([&] { return backend_of(proxy, "b0").at("check").at("state") == "up"; }));
}

TEST(ReloadKeeps, an_open_circuit) {
    ClosedPort closed;
    EchoServer echo;
    const std::string circuit =
        "panic_threshold = 0\ncircuit_breaker = { consecutive_failures = 2, open_for = { base = "
        "\"10m\", max = \"20m\" } }\n";
    ConfigText config =
        one_service({closed.address.text(), echo.text()}, "", with_attempts(circuit, 3));
    ProxyProcess proxy(config);
    const auto state = [&] { return backend_of(proxy, "b0").at("circuit"); };
    ASSERT_TRUE(wait_for([&] {
        EXPECT_TRUE(echo_once(proxy.address()));
        return state().at("state") == "open";
    }));
    const double left = number(state().at("retry_in_s"));
    config.services[0].upstream = with_attempts(circuit, 2);
    ASSERT_EQ((proxy.rewrite(config), reload_now(proxy)).status, 200);
    EXPECT_EQ(state().at("state"), "open");
    EXPECT_LE(number(state().at("retry_in_s")), left);
    const auto failures = [&] {
        return metrics_of(proxy).sum("penstock_backend_connect_failures_total", {"backend=\"b0\""});
    };
    const double failed = failures();
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(failures(), failed) << "it is not tried";
}

TEST(ReloadKeeps, the_clock_of_a_slow_start) {
    EchoServer a;
    EchoServer b;
    const std::string slow = "slow_start = { window = \"10m\" }\n";
    ConfigText config = one_service({a.text()}, "", with_attempts(slow, 3));
    ProxyProcess proxy(config);
    EXPECT_TRUE(backend_of(proxy, "b0").at("slow_start_s_left").is_null()) << "of the first load";
    config.services[0].backends.push_back(b.text());
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(backend_of(proxy, "b0").at("slow_start_s_left").is_null()) << "it was there before";
    const auto fresh = backend_of(proxy, "b1");
    ASSERT_FALSE(fresh.at("slow_start_s_left").is_null()) << text(fresh);
    EXPECT_LT(number(fresh.at("effective_weight")), 0.5);
    const double left = number(fresh.at("slow_start_s_left"));
    config.services[0].upstream = with_attempts(slow, 2);
    ASSERT_TRUE(proxy.change_to(config));
    const auto later = backend_of(proxy, "b1");
    ASSERT_FALSE(later.at("slow_start_s_left").is_null()) << text(later);
    EXPECT_LE(number(later.at("slow_start_s_left")), left);
    EXPECT_TRUE(backend_of(proxy, "b0").at("slow_start_s_left").is_null());
}

TEST(ReloadKeeps, counters) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text(), b.text()});
    config.services.push_back({.name = "two", .bind = "127.0.0.2:0", .backends = {a.text()}});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(echo_once(proxy.address(i % 2 ? "in" : "two")));
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    MetricsPage before = metrics_of(proxy);
    for (const char* lines : {"attempts = 2", "balance = \"p2c\"", "max_connections = 50"}) {
        config.services[0].upstream = std::string(lines).starts_with("balance") ? "" : lines;
        config.services[0].balance = config.services[0].upstream.empty() ? "p2c" : "round_robin";
        ASSERT_TRUE(proxy.change_to(config)) << lines;
        const MetricsPage after = metrics_of(proxy);
        const auto back = went_backwards(before, after);
        EXPECT_TRUE(back.empty()) << lines << ": " << back.front();
        before = after;
    }
    open.reset();
}

TEST(ReloadKeeps, what_is_remembered_of_connections_that_have_ended) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.services[0].name = "an-upstream-whose-name-needs-memory-of-its-own";
    ProxyProcess proxy(config);
    const Address address = proxy.address(config.services[0].name);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(echo_once(address));
    const auto closes = [&] { return get_json(proxy.admin(), "/api/v1/closes"); };
    ASSERT_TRUE(wait_for([&] { return closes().as_array().size() == 3; }));
    const auto before = json::serialize(closes());
    for (const char* timeout : {"3s", "4s", "5s"}) {
        config.services[0].upstream = "connect_timeout = \"" + std::string(timeout) + "\"\n";
        ASSERT_EQ((proxy.rewrite(config), reload_now(proxy)).status, 200);
    }
    EXPECT_EQ(json::serialize(closes()), before);
    EXPECT_EQ(get_json(proxy.admin(), "/api/v1/closes?upstream=" + config.services[0].name)
                  .as_array()
                  .size(),
              3U);
}

TEST(ReloadKeeps, warm_connections) {
    CountingBackend backend;
    const std::string pool = "pool = { min_idle = 3, max_age = \"10m\" }\n";
    ConfigText config = one_service({backend.text()}, "", with_attempts(pool, 3));
    ProxyProcess proxy(config);
    ASSERT_TRUE(wait_for([&] { return backend.open() == 3; }));
    for (int attempts = 4; attempts < 8; ++attempts) {
        config.services[0].upstream = with_attempts(pool, attempts);
        ASSERT_TRUE(proxy.change_to(config));
    }
    EXPECT_EQ(backend.open(), 3U);
    EXPECT_EQ(backend.accepted(), 3U);
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(expect_lines(proxy, 1).at(0).warm);
    // More of them, none of them: as the file says.
    config.services[0].upstream = "pool = { min_idle = 5 }\n";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(wait_for([&] { return backend.open() == 5; }));
    config.services[0].upstream = "";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(wait_for([&] { return backend.open() == 0; }));
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(ReloadKeeps, overrides_until_the_file_changes_that_very_key) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text(), b.text()});
    ProxyProcess proxy(config);
    const std::string target = "/api/v1/upstreams/in/backends/b0";
    ASSERT_EQ(post(proxy, target, R"({"weight":5})").status, 200);
    ASSERT_EQ(post(proxy, target, R"({"state":"drain"})").status, 200);
    const auto override_now = [&] { return backend_of(proxy, "b0").at("override"); };
    config.services[0].upstream = "attempts = 1";
    proxy.rewrite(config);
    const Answer plan = plan_of(proxy);
    EXPECT_EQ(changes_in(plan),
              (std::multiset<std::string>{"change upstream in attempts",
                                          "kept_override upstream in backend b0 state",
                                          "kept_override upstream in backend b0 weight"}))
        << plan.text;
    ASSERT_TRUE(proxy.reload());
    EXPECT_EQ(override_now().at("weight"), 5) << text(override_now());
    EXPECT_EQ(override_now().at("state"), "drain");
    EXPECT_EQ(served_by(proxy.address(), {&a, &b}), 1U);
    // The weight in the file changes: that one is what counts again; the state stays.
    config.services[0].backends[0] = "address = \"" + a.text() + "\"\nweight = 2";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_EQ(backend_of(proxy, "b0").at("weight"), 2);
    EXPECT_EQ(override_now().at("state"), "drain");
    const auto* weight = override_now().as_object().if_contains("weight");
    EXPECT_TRUE(weight == nullptr || weight->is_null()) << text(override_now());
    // The other one as well.
    config.services[0].backends[0] += "\nstate = \"maintenance\"";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(override_now().is_null()) << text(override_now());
    EXPECT_EQ(backend_of(proxy, "b0").at("state"), "maintenance");
    EXPECT_EQ(metrics_of(proxy).value("penstock_backend_override{upstream=\"in\",backend=\"b0\"}"),
              0);
}

TEST(ReloadRemoves, overrides_with_their_backend) {
    EchoServer a;
    EchoServer b;
    const auto with = [&](const std::vector<std::string>& names) {
        std::string list;
        for (const auto& name : names)
            list +=
                "{ name = \"" + name + "\", address = \"" + (name == "a" ? a : b).text() + "\" }, ";
        ConfigText config = one_service({});
        config.services[0].upstream = "backend = [ " + list + "]";
        return config;
    };
    ProxyProcess proxy(with({"a", "b"}));
    ASSERT_EQ(post(proxy, "/api/v1/upstreams/in/backends/a", R"({"weight":5})").status, 200);
    ASSERT_EQ(post(proxy, "/api/v1/upstreams/in/backends/b", R"({"weight":6})").status, 200);
    ASSERT_TRUE(proxy.change_to(with({"b"})));
    ASSERT_TRUE(proxy.change_to(with({"a", "b"})));
    EXPECT_EQ(backend_of(proxy, "a").at("weight"), 1);
    EXPECT_EQ(backend_of(proxy, "b").at("weight"), 6);
}

TEST(ReloadKeeps, a_splits_weights_that_an_operator_has_set) {
    EchoServer a;
    EchoServer b;
    ConfigText config;
    config.services = {{.name = "v1", .bind = "127.0.0.2:0", .backends = {a.text()}},
                       {.name = "v2", .bind = "127.0.0.3:0", .backends = {b.text()}}};
    const auto with_split = [&](int one, int two) {
        return config.toml() +
               "\n[[listener]]\nname = \"both\"\nbind = \"127.0.0.1:0\"\nsplit = [ " +
               "{ upstream = \"v1\", weight = " + std::to_string(one) +
               " }, { upstream = \"v2\", weight = " + std::to_string(two) + " } ]\n";
    };
    ProxyProcess proxy(with_split(1, 1));
    ASSERT_EQ(post(proxy, "/api/v1/listeners/both/split", R"({"v1":9,"v2":1})").status, 200);
    const auto weight = [&] {
        const auto listeners = get_json(proxy.admin(), "/api/v1/listeners");
        for (const auto& listener : listeners.as_array())
            if (listener.at("name") == "both") return number(listener.at("split").at("v1"));
        return -1.0;
    };
    config.services[0].upstream = "attempts = 1";
    proxy.rewrite(with_split(1, 1));
    ASSERT_TRUE(proxy.reload());
    EXPECT_EQ(weight(), 9);
    proxy.rewrite(with_split(3, 1));
    ASSERT_TRUE(proxy.reload());
    EXPECT_EQ(weight(), 3);
}

TEST(ReloadKeeps, a_splits_weights_also_at_the_moment_of_the_change) {
    EchoServer broken;
    Traffic traffic({.per_second = full_rate(), .backends = 1});
    ConfigText config;
    config.process = "workers = 2";
    config.services = {{.name = "v1", .bind = "127.0.0.2:0", .backends = traffic.backends()},
                       {.name = "v2", .bind = "127.0.0.3:0", .backends = {broken.text()}}};
    // Their files are looked at in that moment, which is a longer one by that.
    const TempDir directory;
    const auto peers = directory.path() / "peers";
    std::ofstream(peers) << "127.0.0.0/8\n";
    for (int i = 1; i <= sized(50); ++i)
        config.services.push_back({.name = "s" + std::to_string(i),
                                   .bind = "127.0.1." + std::to_string(i) + ":0",
                                   .backends = {"127.0.0.1:1"},
                                   .listener = "allow_file = \"" + peers.string() + "\""});
    const auto with_backlog = [&](int backlog) {
        return config.toml() +
               "\n[[listener]]\nname = \"both\"\nbind = \"127.0.0.1:0\"\nsplit = [ \"v1\", "
               "\"v2\" ]\nbacklog = " +
               std::to_string(backlog) + "\n";
    };
    ProxyProcess proxy(with_backlog(1000));
    ASSERT_EQ(post(proxy, "/api/v1/listeners/both/split", R"({"v1":1,"v2":0})").status, 200);
    get_json(proxy.admin(), "/api/v1/sessions");  // each worker has it when it answers this
    traffic.start({proxy.address("both")});
    for (int i = 1; i <= 5; ++i) {
        proxy.rewrite(with_backlog(1000 + i));
        ASSERT_TRUE(proxy.reload());
        ASSERT_TRUE(traffic.wait_for_more(20));
    }
    traffic.finish();
    EXPECT_EQ(broken.accepted(), 0U) << "nobody may come there";
}

TEST(ReloadKeeps, a_pause_and_those_who_are_held) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    ASSERT_EQ(post(proxy, "/api/v1/upstreams/in/pause", R"({"max":"10m"})").status, 200);
    std::optional<Socket> client;
    ASSERT_TRUE(wait_for([&] {  // until the worker knows of the pause clients are served
        auto next = Socket::connect(proxy.address());
        EXPECT_TRUE(next && next->send("hello"));
        client = std::move(*next);
        return wait_for([&] { return upstream_of(proxy).at("held") == 1; }, 300ms);
    }));
    config.services[0].upstream = "attempts = 1";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_EQ(upstream_of(proxy).at("paused"), true);
    EXPECT_EQ(upstream_of(proxy).at("held"), 1);
    ASSERT_EQ(post(proxy, "/api/v1/upstreams/in/resume").status, 200);
    EXPECT_EQ(client->receive_text(5), "hello");
}

TEST(ReloadKeeps, those_who_wait_for_a_slot) {
    EchoServer echo;
    const std::string one_slot = "max_connections = 1\nqueue = { timeout = \"10m\" }\n";
    ConfigText config = one_service({echo.text()}, "", one_slot);
    ProxyProcess proxy(config);
    auto first = established(proxy.address());
    auto second = Socket::connect(proxy.address());
    ASSERT_TRUE(first && second && second->send("hello"));
    ASSERT_TRUE(wait_for([&] { return upstream_of(proxy).at("queue").at("length") == 1; }));
    config.services[0].upstream = with_attempts(one_slot, 2);
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_EQ(upstream_of(proxy).at("queue").at("length"), 1);
    first->finish();
    EXPECT_EQ(second->receive_text(5), "hello");
    // Raised while somebody waits: who waits is called.
    auto third = Socket::connect(proxy.address());
    ASSERT_TRUE(third && third->send("there"));
    ASSERT_TRUE(wait_for([&] { return upstream_of(proxy).at("queue").at("length") == 1; }));
    config.services[0].upstream = "max_connections = 2\nqueue = { timeout = \"10m\" }\n";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_EQ(third->receive_text(5), "there");
}

TEST(ReloadKeeps, the_time_outs_of_live_sessions) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()}, "idle = \"1h\"");
    ProxyProcess proxy(config);
    auto old = established(proxy.address());
    ASSERT_TRUE(old);
    config.services[0].timeouts = "idle = \"500ms\"";
    ASSERT_TRUE(proxy.change_to(config));
    for (int i = 0; i < 2; ++i) {  // by the second one's end the old one has been idle for longer
        auto fresh = established(proxy.address());
        ASSERT_TRUE(fresh);
        EXPECT_EQ(fresh->wait_end(), End::reset);
    }
    EXPECT_TRUE(ping(*old));
    const auto lines = expect_lines(proxy, 2);
    EXPECT_EQ(reasons_other_than(lines, "idle_timeout"), "");
}

/// Connections that wait in the kernel's queues while the proxy stands still, and are served when
/// it goes on with something else in force.
void expect_queue_served(ConfigText before, const ConfigText& after, const Address& address) {
    constexpr std::size_t count = 60;
    before.process = "workers = 2";
    ProxyProcess proxy(before);
    proxy.signal(SIGSTOP);
    std::vector<Socket> clients;
    for (std::size_t i = 0; i < count; ++i) {
        auto client = Socket::connect(address);
        ASSERT_TRUE(client && client->send("hello"));
        clients.push_back(std::move(*client));
    }
    proxy.rewrite(after);
    proxy.signal(SIGHUP);
    proxy.signal(SIGCONT);
    for (Socket& client : clients) EXPECT_EQ(client.receive_text(5), "hello");
    for (Socket& client : clients) client.finish();
    for (Socket& client : clients) EXPECT_EQ(client.wait_end(), End::fin);
    EXPECT_TRUE(
        wait_for([&] { return metrics_of(proxy).sum("penstock_config_reloads_total") == 1; }));
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, count), "completed"), "");
}

TEST(ReloadKeeps, the_accept_queue_of_a_listener_that_stays) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.services[0].bind = own_address(7001);
    ConfigText after = config;
    after.process = "workers = 2";
    after.services[0].upstream = "attempts = 1";
    expect_queue_served(config, after, Address::parse(own_address(7001)));
}

TEST(ReloadKeeps, the_accept_queue_of_a_listener_with_another_name_and_upstream) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    config.services[0].bind = own_address(7001);
    ConfigText after = config;
    after.process = "workers = 2";
    after.services[0].name = "renamed";
    after.services[0].backends = {b.text()};
    after.services[0].listener = "backlog = 100\nkeepalive = { idle = \"10s\" }";
    expect_queue_served(config, after, Address::parse(own_address(7001)));
}

// The books must balance without the listener and the upstream that have gone, and go on where the
// names come back.
TEST(ReloadRemoves, counters_stay_and_go_on_when_the_names_come_back) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    config.services[0].upstream = std::string("drain = ") + patient_drain;
    ConfigText both = config;
    both.services.push_back({.name = "two",
                             .bind = "127.0.0.2:0",
                             .backends = {b.text()},
                             .upstream = std::string("drain = ") + patient_drain});
    ProxyProcess proxy(both);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(echo_once(proxy.address("two")));
    auto open = established(proxy.address("two"));
    ASSERT_TRUE(open);
    ASSERT_TRUE(wait_for(
        [&] { return metrics_of(proxy).sum("penstock_session_duration_seconds_count") == 3; }));
    const MetricsPage before = metrics_of(proxy);
    ASSERT_TRUE(proxy.change_to(config));
    const MetricsPage without = metrics_of(proxy);
    EXPECT_EQ(without.value("penstock_listener_connections_total{listener=\"two\"}"), 4);
    EXPECT_EQ(without.value("penstock_listener_connections_active{listener=\"two\"}"), 1);
    EXPECT_EQ(without.value("penstock_backend_connections_active{upstream=\"two\",backend=\"b0\"}"),
              1);
    EXPECT_FALSE(without.has("penstock_listener_connections_limit{listener=\"two\"}"));
    const auto gone = went_backwards(before, without);
    EXPECT_TRUE(gone.empty()) << gone.front();
    open.reset();
    ASSERT_TRUE(
        wait_for([&] { return metrics_of(proxy).value("penstock_connections_active") == 0; }));
    const MetricsPage idle = metrics_of(proxy);
    const auto wrong = contradictions(idle);
    EXPECT_TRUE(wrong.empty()) << wrong.front();
    EXPECT_EQ(idle.sum("penstock_sessions_closed_total", {"listener=\"two\""}), 4);
    ASSERT_TRUE(proxy.change_to(both));
    const auto addresses = proxy.addresses_now("two");
    ASSERT_EQ(addresses.size(), 1U);
    EXPECT_TRUE(echo_once(addresses[0]));
    const MetricsPage again = metrics_of(proxy);
    EXPECT_EQ(again.value("penstock_listener_connections_total{listener=\"two\"}"), 5);
    EXPECT_EQ(again.value("penstock_backend_connections_total{upstream=\"two\",backend=\"b0\"}"),
              5);
    const auto back = went_backwards(idle, again);
    EXPECT_TRUE(back.empty()) << back.front();
}

}  // namespace
}  // namespace penstock::test
