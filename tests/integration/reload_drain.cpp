// What drains after a reload: evenly, and not at all when it has come back.
#include <gtest/gtest.h>

#include "tests/integration/change_scenario.hpp"

namespace penstock::test {
namespace {

struct Named {
    std::string name;
    const EchoServer* server;
};

/// An upstream of these backends, which stay who they are when others leave.
ConfigText with_backends(const std::vector<Named>& backends, const std::string& drain) {
    std::string list;
    for (const auto& [name, server] : backends)
        list += "{ name = \"" + name + "\", address = \"" + server->text() + "\" }, ";
    ConfigText config = one_service({});
    config.services[0].upstream = "drain = " + drain + "\nbackend = [ " + list + "]";
    return config;
}

/// One session at each of the servers.
std::vector<Socket> one_at_each(const ProxyProcess& proxy,
                                const std::vector<const EchoServer*>& servers) {
    std::vector<Socket> clients;
    for (std::size_t i = 0; i < servers.size(); ++i) {
        auto client = established(proxy.address());
        if (client) clients.push_back(std::move(*client));
    }
    for (const EchoServer* server : servers) EXPECT_EQ(server->open(), 1U);
    EXPECT_EQ(clients.size(), servers.size());
    return clients;
}

/// How many of the clients are still served.
std::size_t alive(std::vector<Socket>& clients) {
    return static_cast<std::size_t>(
        std::ranges::count_if(clients, [](Socket& client) { return ping(client); }));
}

TEST(ReloadDrain, C6_a_backend_that_is_put_back_in_time_keeps_its_sessions) {
    EchoServer a;
    EchoServer b;
    EchoServer c;
    const std::string drain = R"({ wait = "2s", close_over = "100ms" })";
    ProxyProcess proxy(with_backends({{"a", &a}, {"b", &b}, {"c", &c}}, drain));
    auto clients = one_at_each(proxy, {&a, &b, &c});
    const double counted = metrics_of(proxy).sum("penstock_backend_connections_total");
    ASSERT_TRUE(proxy.change_to(with_backends({{"c", &c}}, drain)));
    ASSERT_TRUE(proxy.change_to(with_backends({{"a", &a}, {"c", &c}}, drain)));
    EXPECT_EQ(backend_of(proxy, "a").at("connections").at("active"), 1) << "it is the same backend";
    EXPECT_EQ(metrics_of(proxy).sum("penstock_backend_connections_total"), counted);
    // The end of the one that stays away tells that the time is over.
    EXPECT_TRUE(wait_for([&] { return b.open() == 0; }));
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 1), "backend_removed"), "");
    EXPECT_EQ(a.open(), 1U);
    EXPECT_EQ(alive(clients), 2U);
}

TEST(ReloadDrain, C6_an_upstream_that_is_put_back_in_time_keeps_its_sessions) {
    EchoServer a;
    EchoServer b;
    const std::string drain = R"(drain = { wait = "2s", close_over = "100ms" })";
    ConfigText config = one_service({a.text()});
    config.services.push_back(
        {.name = "back", .bind = own_address(7001), .backends = {a.text()}, .upstream = drain});
    config.services.push_back(
        {.name = "gone", .bind = own_address(7002), .backends = {b.text()}, .upstream = drain});
    ProxyProcess proxy(config, {.check_counters = false});
    auto kept = established(proxy.address("back"));
    auto ended = established(proxy.address("gone"));
    ASSERT_TRUE(kept && ended);
    ConfigText less = config;
    less.services.resize(1);
    ASSERT_TRUE(proxy.change_to(less));
    less.services.push_back(config.services[1]);
    ASSERT_TRUE(proxy.change_to(less));
    EXPECT_NE(ended->wait_end(), End::open);
    EXPECT_TRUE(ping(*kept));
    EXPECT_EQ(backend_of(proxy, "b0", "back").at("connections").at("active"), 1);
    EXPECT_TRUE(echo_once(proxy.addresses_now("back").at(0)));
}

// Not all at the deadline, where their clients would come back all at once.
TEST(ReloadDrain, C6_busy_sessions_are_closed_one_after_the_other) {
    const auto attempt = [] {
        Ticker ticker;
        ChaosBackend endless(ticker.script());
        EchoServer echo;
        ConfigText config = one_service({endless.text()});
        config.services[0].upstream = R"(drain = { wait = "0s", close_over = "4s" })";
        ProxyProcess proxy(config);
        std::vector<Socket> clients;
        const auto start = Clock::now();
        for (int i = 0; i < 8; ++i) {
            auto client = Socket::connect(proxy.address());
            if (!client || client->receive_text(4) != "tick") return false;
            clients.push_back(std::move(*client));
        }
        if (since(start) >= 500ms) return false;  // they are to be of one age
        config.services[0].backends = {echo.text()};  // another one
        EXPECT_TRUE(proxy.change_to(config));
        const auto lines = expect_lines(proxy, clients.size());
        if (ticker.longest_silence() >= 500ms) return false;  // they may have looked quiet
        EXPECT_EQ(reasons_other_than(lines, "backend_removed"), "");
        const auto [shortest, longest] = std::ranges::minmax(lines, {}, &LogLine::duration_ms);
        EXPECT_GE(longest.duration_ms - shortest.duration_ms, 2500) << "one each half second";
        return true;
    };
    EXPECT_TRUE(in_one_of_three_windows(attempt));
}

// Neither do those of whom it is not known yet where they go when their listener leaves.
TEST(ReloadDrain, a_client_that_has_said_nothing_yet_goes_with_its_listener) {
    EchoServer echo;
    ConfigText config =
        one_service({echo.text()}, "", "drain = { wait = \"0s\", close_over = \"0s\" }");
    const std::string bind = own_address(7031);
    ProxyProcess proxy(config.toml() + "\n[[listener]]\nname = \"gone\"\nbind = \"" + bind +
                       "\"\nupstream = \"in\"\ntimeouts = { client_hello = \"5m\" }\n"
                       "route = [{ sni = [\"a.example\"], upstream = \"in\", tls = "
                       "\"passthrough\" }]\n");
    auto relayed = established(Address::parse(bind));
    auto silent = Socket::connect(Address::parse(bind));
    ASSERT_TRUE(relayed && silent);
    const std::string active = "penstock_listener_connections_active{listener=\"gone\"}";
    ASSERT_TRUE(wait_for([&] { return metrics_of(proxy).value(active) == 2; }));
    ASSERT_TRUE(proxy.change_to(config));
    EXPECT_NE(relayed->wait_end(), End::open);
    ASSERT_TRUE(wait_for([&] { return metrics_of(proxy).value(active) == 1; }));
    EXPECT_TRUE(silent->send("ping"));
    EXPECT_NE(silent->wait_end(), End::open);
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 2), "drained"), "");
}

}  // namespace
}  // namespace penstock::test
