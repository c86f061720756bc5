// What a reload must really change: addresses, limits, access, logs, the API, the process.
#include <gtest/gtest.h>

#include <csignal>

#include "tests/integration/change_scenario.hpp"
#include "tests/support/counting_backend.hpp"

namespace penstock::test {
namespace {

TEST(ReloadChanges, an_address_that_moves_from_one_listener_to_another) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    config.drain = patient_drain;
    config.services[0].bind = own_address(7001);
    config.services.push_back({.name = "two", .bind = own_address(7002), .backends = {b.text()}});
    ProxyProcess proxy(config);
    const Address first = Address::parse(own_address(7001));
    const Address second = Address::parse(own_address(7002));
    auto old = established(first);
    ASSERT_TRUE(old);
    EXPECT_EQ(served_by(second, {&a, &b}), 1U);
    std::swap(config.services[0].bind, config.services[1].bind);
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_EQ(served_by(first, {&a, &b}), 1U);
    EXPECT_EQ(served_by(second, {&a, &b}), 0U);
    EXPECT_TRUE(ping(*old));
    EXPECT_EQ(proxy.addresses_now("in").at(0).text(), own_address(7002));
    // One goes, the other takes both.
    config.services.pop_back();
    proxy.rewrite(changed(config.toml(),
                          {{"\"" + own_address(7002) + "\"",
                            "[\"" + own_address(7002) + "\", \"" + own_address(7001) + "\"]"}}));
    ASSERT_TRUE(proxy.reload());
    EXPECT_EQ(served_by(first, {&a, &b}), 0U);
    EXPECT_EQ(served_by(second, {&a, &b}), 0U);
    EXPECT_EQ(proxy.addresses_now("in").size(), 2U);
    EXPECT_TRUE(ping(*old));
}

TEST(ReloadChanges, a_name_of_a_listener) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.drain = patient_drain;
    config.services[0].bind = own_address(7001);
    ProxyProcess proxy(config, {.check_counters = false});
    const Address address = proxy.address();
    auto old = established(address);
    ASSERT_TRUE(old);
    proxy.rewrite(
        changed(config.toml(), {{"[[listener]]\nname = \"in\"", "[[listener]]\nname = \"door\""}}));
    ASSERT_TRUE(proxy.reload());
    EXPECT_TRUE(echo_once(address));
    EXPECT_TRUE(ping(*old));
    old->finish();
    EXPECT_EQ(old->wait_end(), End::fin);
    const auto lines = expect_lines(proxy, 2);
    EXPECT_EQ(std::ranges::count(lines, "in", &LogLine::listener), 1) << "who came by that name";
    EXPECT_EQ(std::ranges::count(lines, "door", &LogLine::listener), 1);
    EXPECT_EQ(metrics_of(proxy).value("penstock_listener_connections_total{listener=\"door\"}"), 1);
}

// An exact address beside the wildcard with the same port: no other program, but this one's own
// socket is there.
TEST(ReloadChanges, an_exact_address_beside_the_wildcard) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text()});
    config.services[0].bind = "0.0.0.0:0";
    ProxyProcess proxy(config);
    const std::string port = std::to_string(proxy.address().port());
    const std::string host = own_address(0).substr(0, own_address(0).rfind(':'));
    const Address exact = Address::parse(host + ":" + port);
    EXPECT_EQ(served_by(exact, {&a, &b}), 0U);
    config.services.push_back({.name = "exact", .bind = exact.text(), .backends = {b.text()}});
    ASSERT_TRUE(proxy.change_to(config)) << proxy.errors();
    EXPECT_EQ(served_by(exact, {&a, &b}), 1U);
    EXPECT_EQ(served_by(Address::parse("127.0.0.1:" + port), {&a, &b}), 0U);
    config.services.pop_back();
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(wait_for([&] { return served_by(exact, {&a, &b}) == 0U; }));
}

TEST(ReloadChanges, the_limit_of_a_listener_up_and_down) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()}, "", "", "max_connections = 2");
    ProxyProcess proxy(config);
    auto clients = clients_of(proxy, 2);
    const auto refused = [&] {
        auto client = Socket::connect(proxy.address());
        return client && !ping(*client);
    };
    EXPECT_TRUE(refused());
    config.services[0].listener = "max_connections = 3";
    ASSERT_TRUE(proxy.change_to(config));
    auto third = established(proxy.address());
    ASSERT_TRUE(third) << "the two that are there still count";
    EXPECT_TRUE(refused());
    config.services[0].listener = "max_connections = 1";
    ASSERT_TRUE(proxy.change_to(config));
    for (Socket& client : clients) EXPECT_TRUE(ping(client)) << "nobody is closed";
    EXPECT_TRUE(refused());
    clients.clear();
    EXPECT_TRUE(wait_for([&] {
        return metrics_of(proxy).value("penstock_listener_connections_active{listener=\"in\"}") ==
               1;
    }));
    EXPECT_TRUE(refused());
    third->close();
    EXPECT_TRUE(wait_for([&] {
        return metrics_of(proxy).value("penstock_listener_connections_active{listener=\"in\"}") ==
               0;
    }));
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(metrics_of(proxy).value("penstock_listener_connections_limit{listener=\"in\"}"), 1);
}

TEST(ReloadChanges, the_limit_of_a_backend_and_its_queue) {
    CountingBackend backend;
    const auto with_limit = [&](int limit) {
        return "address = \"" + backend.text() + "\"\nmax_connections = " + std::to_string(limit);
    };
    ConfigText config = one_service({with_limit(1)}, "", "queue = { max_length = 0 }");
    ProxyProcess proxy(config);
    auto first = established(proxy.address());
    ASSERT_TRUE(first);
    EXPECT_FALSE(echo_once(proxy.address()));
    config.services[0].backends = {with_limit(2)};
    ASSERT_TRUE(proxy.change_to(config));
    auto second = established(proxy.address());
    ASSERT_TRUE(second);
    EXPECT_FALSE(echo_once(proxy.address()));
    EXPECT_EQ(backend.accepted(), 2U) << "the same backend, and its connections count";
    config.services[0].backends = {with_limit(1)};
    config.services[0].upstream = "queue = { max_length = 5, timeout = \"10m\" }";
    ASSERT_TRUE(proxy.change_to(config));
    auto third = Socket::connect(proxy.address());
    ASSERT_TRUE(third && third->send("hello"));
    ASSERT_TRUE(wait_for([&] { return upstream_of(proxy).at("queue").at("length") == 1; }));
    first->close();
    ASSERT_TRUE(wait_for([&] { return backend.open() == 1; }));
    EXPECT_TRUE(ping(*second));
    EXPECT_EQ(upstream_of(proxy).at("queue").at("length"), 1) << "one is the limit now";
    second->close();
    EXPECT_EQ(third->receive_text(5), "hello");
}

TEST(ReloadChanges, rates) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()}, "", "", "accept_rate = \"1/h burst 1\"");
    ProxyProcess proxy(config);
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_FALSE(echo_once(proxy.address()));
    config.services[0].listener = "accept_rate = \"1/h burst 1\"\nbacklog = 2000";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_FALSE(echo_once(proxy.address())) << "no reload fills the bucket of a rate that stays";
    config.services[0].listener = "";
    ASSERT_TRUE(proxy.change_to(config));
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    config.services[0].listener = "accept_rate_per_source = \"1/h burst 2\"";
    ASSERT_TRUE(proxy.change_to(config));
    int served = 0;
    for (int i = 0; i < 5; ++i) served += echo_once(proxy.address()) ? 1 : 0;
    EXPECT_EQ(served, 2);
}

TEST(ReloadChanges, who_may_come) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    config.services[0].listener = "deny = [\"127.0.0.0/8\"]";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_FALSE(echo_once(proxy.address()));
    EXPECT_TRUE(ping(*open)) << "lists are about new connections";
    config.services[0].listener = "";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(ReloadChanges, the_level_of_the_log) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    const auto times_told = [&] {
        std::size_t count = 0;
        const std::string log = proxy.errors();
        for (auto at = log.find("reopening log files"); at != std::string::npos;
             at = log.find("reopening log files", at + 1))
            ++count;
        return count;
    };
    proxy.signal(SIGUSR1);
    ASSERT_TRUE(wait_for([&] { return times_told() == 1; }));
    config.log = "level = \"error\"";
    ASSERT_TRUE(proxy.change_to(config));
    proxy.signal(SIGUSR1);
    config.log = "level = \"info\"";
    ASSERT_TRUE(proxy.change_to(config));  // handled after that signal
    proxy.signal(SIGUSR1);
    ASSERT_TRUE(wait_for([&] { return times_told() >= 2; }));
    EXPECT_EQ(times_told(), 2U);
}

TEST(ReloadChanges, where_the_process_log_goes) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    const auto file = proxy.directory() / "penstock.log";
    config.log = "target = \"@DIR@/penstock.log\"\nformat = \"json\"";
    ASSERT_TRUE(proxy.change_to(config));
    proxy.signal(SIGUSR1);
    EXPECT_TRUE(
        wait_for([&] { return read_file(file).find("reopening log files") != std::string::npos; }));
    EXPECT_EQ(proxy.errors().find("reopening log files"), std::string::npos);
    config.log = "target = \"@DIR@/no/such/directory/penstock.log\"";
    EXPECT_FALSE(proxy.change_to(config)) << "cannot be carried out, and is no half of a reload";
    config.log = "target = \"stderr\"";
    ASSERT_TRUE(proxy.change_to(config));
    proxy.signal(SIGUSR1);
    EXPECT_TRUE(proxy.says("reopening log files"));
}

TEST(ReloadChanges, where_the_access_log_goes) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config, {.check_counters = false});
    EXPECT_TRUE(echo_once(proxy.address()));
    auto across = established(proxy.address());
    ASSERT_TRUE(across);
    config.access_log = "target = \"@DIR@/second.log\"\nflush_interval = \"50ms\"";
    ASSERT_TRUE(proxy.change_to(config));
    const AccessLogReader second(proxy.directory() / "second.log");
    EXPECT_EQ(proxy.access_log().wait_for_lines(1).size(), 1U) << "nothing buffered is lost";
    EXPECT_TRUE(echo_once(proxy.address()));
    across->finish();
    EXPECT_EQ(across->wait_end(), End::fin);
    EXPECT_EQ(second.wait_for_lines(2).size(), 2U);
    config.access_log = "target = \"off\"";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(echo_once(proxy.address()));
    config.access_log =
        "target = \"@DIR@/second.log\"\nflush_interval = \"50ms\"\n"
        "events = [\"open\", \"close\"]";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(second.wait_for_lines(4).size(), 4U);
    EXPECT_EQ(proxy.access_log().lines().size(), 1U);
}

TEST(ReloadChanges, listeners_of_the_admin_api) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    ProxyProcess proxy(config);
    const std::string keep = "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n";
    const std::string tcp = own_address(7010);
    config.admin = keep + "[[admin.listener]]\nbind = \"" + tcp + "\"\naccess = \"read\"\n";
    ASSERT_TRUE(proxy.change_to(config));
    const AdminClient second(tcp);
    EXPECT_EQ(second.get("/api/v1/status").status, 200);
    EXPECT_EQ(second.send({.method = "POST", .target = "/api/v1/drain"}).status, 403);
    config.admin = keep + "[[admin.listener]]\nbind = \"" + tcp + "\"\naccess = \"metrics\"\n";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_EQ(second.get("/api/v1/status").status, 403);
    EXPECT_EQ(second.get("/metrics").status, 200);
    config.admin = keep;
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(stops_accepting(Address::parse(tcp)));
    EXPECT_EQ(status_of(proxy).at("state"), "running");
    // Its socket, although the listener is another one: the default.
    config.admin = "";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_EQ(status_of(proxy).at("state"), "running");
}

TEST(ReloadChanges, the_seed_of_the_hashes) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text(), b.text()});
    config.services[0].balance = "maglev";
    ProxyProcess proxy(config);
    const auto checksum = [&] {
        return metrics_of(proxy).value("penstock_upstream_hash_checksum{upstream=\"in\"}");
    };
    const double before = checksum();
    config.process = "workers = 1\nhash_seed = 42";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_NE(checksum(), before);
    ProxyProcess fresh(config);
    EXPECT_EQ(metrics_of(fresh).value("penstock_upstream_hash_checksum{upstream=\"in\"}"),
              checksum());
    config.process = "workers = 1";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_EQ(checksum(), before);
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(ReloadChanges, readiness_and_shutdown) {
    EchoServer echo;
    ClosedPort closed;
    ConfigText config = one_service({echo.text()});
    config.services.push_back({.name = "two",
                               .bind = "127.0.0.2:0",
                               .backends = {closed.address.text()},
                               .upstream = "panic_threshold = 0\nhealth_check = { type = \"tcp\", "
                                           "interval = \"100ms\" }\n"});
    ProxyProcess proxy(config);
    EXPECT_EQ(proxy.admin().get("/readyz").status, 200);
    config.admin = "[admin]\nready_upstreams = [\"two\"]";
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_TRUE(wait_for([&] { return proxy.admin().get("/readyz").status == 503; }));
    config.admin = "";
    config.drain = patient_drain;  // in force for the stop: the session below is waited for
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_EQ(proxy.admin().get("/readyz").status, 200);
    auto open = established(proxy.address());
    ASSERT_TRUE(open);
    const Address address = proxy.address();
    proxy.signal(SIGTERM);
    EXPECT_TRUE(stops_accepting(address));
    EXPECT_TRUE(ping(*open));
    open->finish();
    EXPECT_EQ(open->wait_end(), End::fin);
    proxy.wait_exit();
}

}  // namespace
}  // namespace penstock::test
