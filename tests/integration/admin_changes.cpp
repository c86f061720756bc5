// The admin API of the running program: what is ordered happens.
#include <array>
#include <atomic>
#include <map>

#include "tests/integration/admin_scenario.hpp"

namespace penstock::test {
namespace {

TEST(Admin, an_override_counts_until_it_is_reset_and_says_by_whom) {
    EchoServer a;
    EchoServer b;
    ProxyProcess proxy(one_service({a.text(), b.text()}));
    const AdminClient admin = proxy.admin();
    const auto change = [&](const std::string& body) {
        return admin.post("/api/v1/upstreams/in/backends/b0", body).status;
    };
    const auto shares = [&] {
        const unsigned before = a.accepted();
        for (int i = 0; i < 8; ++i) EXPECT_TRUE(echo_once(proxy.address()));
        return a.accepted() - before;
    };
    const auto overridden = [&] {
        return metrics_of(proxy).value("penstock_backend_override{upstream=\"in\",backend=\"b0\"}");
    };
    EXPECT_EQ(shares(), 4U);
    ASSERT_EQ(change(R"({"state":"drain"})"), 200);
    ASSERT_TRUE(wait_for([&] { return shares() == 0; }));
    const auto backend = get_json(admin, "/api/v1/upstreams/in").at("backends").at(0);
    EXPECT_EQ(backend.at("state"), "drain");
    EXPECT_EQ(backend.at("override").at("state"), "drain");
    EXPECT_EQ(backend.at("override").at("by").as_string(), "uid " + std::to_string(::getuid()));
    EXPECT_EQ(overridden(), 1);
    ASSERT_EQ(change(R"({"state":"ready"})"), 200);
    ASSERT_EQ(change(R"({"weight":3})"), 200);
    EXPECT_TRUE(wait_for([&] { return shares() == 6; }));
    ASSERT_EQ(change(R"({"reset":true})"), 200);
    EXPECT_TRUE(wait_for([&] { return shares() == 4; }));
    EXPECT_EQ(overridden(), 0);
    EXPECT_EQ(change(R"({"reset":true})"), 409) << "nothing is left to be reset";
    EXPECT_EQ(admin.post("/api/v1/upstreams/in/backends/none", R"({"weight":1})").status, 404);
    std::vector<std::string> told;
    const auto events = get_json(admin, "/api/v1/events");
    for (const auto& event : events.as_array())
        if (event.at("kind") == "override") told.emplace_back(event.at("detail").as_string());
    EXPECT_EQ(told,
              (std::vector<std::string>{"state set to drain", "state set to ready",
                                        "weight set to 3", "goes by the configuration again"}));
}

TEST(Admin, a_session_is_killed_by_its_id_and_sees_a_reset) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto victim = established(proxy.address());
    auto other = established(proxy.address());
    ASSERT_TRUE(victim && other);
    const AdminClient admin = proxy.admin();
    std::string id;
    const auto sessions = get_json(admin, "/api/v1/sessions");
    for (const auto& session : sessions.as_array())
        if (session.at("client").as_string() == victim->local().text())
            id = session.at("id").as_string();
    EXPECT_EQ(admin.post("/api/v1/sessions/" + id + "/kill").status, 200);
    EXPECT_EQ(victim->wait_end(), End::reset);
    EXPECT_TRUE(ping(*other));
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "killed");
    EXPECT_EQ(admin.post("/api/v1/sessions/" + id + "/kill").status, 404);
}

TEST(Admin, a_share_of_a_backends_sessions_ends_evenly_and_the_idle_ones_first) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto clients = clients_of(proxy, 20);
    const AdminClient admin = proxy.admin();
    const std::string target = "/api/v1/upstreams/in/backends/b0/kill";
    const auto dry = json::parse(admin.post(target, R"({"share":0.5,"dry_run":true})").body);
    EXPECT_EQ(dry.at("sessions"), 20);
    EXPECT_EQ(dry.at("closing"), 10);
    for (std::size_t i = 10; i < 20; ++i) ASSERT_TRUE(ping(clients[i])) << "the later, the busier";
    const auto start = Clock::now();
    const auto order = json::parse(admin.post(target, R"({"share":0.5,"over":"1s"})").body);
    EXPECT_EQ(order.at("closing"), 10);
    const auto lines = expect_lines(proxy, 10, 20s);
    EXPECT_GE(since(start), 500ms) << "not all at once";
    for (const auto& line : lines) EXPECT_EQ(line.reason, "killed");
    for (std::size_t i = 0; i < 20; ++i) {
        std::array<std::byte, 64> buffer;
        const bool alive = clients[i].try_receive(buffer) == -EAGAIN;
        EXPECT_EQ(alive, i >= 10) << i;
    }
    EXPECT_EQ(get_json(admin, "/api/v1/sessions").as_array().size(), 10U);
}

TEST(Admin, rebalancing_moves_what_is_above_the_fair_share_without_a_reset) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text(), b.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const AdminClient admin = proxy.admin();
    ASSERT_EQ(admin.post("/api/v1/upstreams/in/backends/b1", R"({"weight":0})").status, 200);
    ASSERT_TRUE(wait_for([&] {
        const unsigned before = b.accepted();
        for (int i = 0; i < 4; ++i) EXPECT_TRUE(echo_once(proxy.address()));
        return b.accepted() == before;
    }));
    ASSERT_TRUE(wait_for([&] { return a.open() == 0; }));
    auto clients = clients_of(proxy, 20);
    EXPECT_EQ(a.open(), 20U);
    ASSERT_EQ(admin.post("/api/v1/upstreams/in/backends/b1", R"({"reset":true})").status, 200);
    const std::string target = "/api/v1/upstreams/in/rebalance";
    const auto dry = json::parse(admin.post(target, R"({"max_share":1,"dry_run":true})").body);
    EXPECT_EQ(dry.at("closing"), 10) << text(dry);
    EXPECT_EQ(dry.at("backends").at("b0"), 10);
    EXPECT_EQ(a.open(), 20U);
    const auto capped = json::parse(admin.post(target, R"({"max_share":0.2,"dry_run":true})").body);
    EXPECT_EQ(capped.at("closing"), 4);
    EXPECT_EQ(admin.post(target, R"({"max_share":1,"over":"2s"})").status, 200);
    ASSERT_TRUE(wait_for([&] { return a.open() == 10; }, 30s));
    std::map<std::string, int> ends;
    for (auto& client : clients) {
        std::array<std::byte, 64> buffer;
        const auto got = client.try_receive(buffer);
        ++ends[got == -EAGAIN ? "alive" : got == 0 ? "fin" : "reset"];
    }
    EXPECT_EQ(ends, (std::map<std::string, int>{{"alive", 10}, {"fin", 10}}));
    const auto again = json::parse(admin.post(target, R"({"max_share":1,"dry_run":true})").body);
    EXPECT_EQ(again.at("closing"), 5) << "10 on one of two: nobody has come back yet";
}

TEST(Admin, rebalancing_leaves_alone_whose_clients_would_come_back) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text(), "address = \"" + b.text() + "\"\ntier = 1"});
    Service hashed;
    hashed.name = "hashed";
    hashed.backends = {a.text(), b.text()};
    hashed.balance = "maglev";
    config.services.push_back(hashed);
    ProxyProcess proxy(config);
    auto clients = clients_of(proxy, 4);
    const AdminClient admin = proxy.admin();
    const auto backup = json::parse(
        admin.post("/api/v1/upstreams/in/rebalance", R"({"max_share":1,"dry_run":true})").body);
    EXPECT_EQ(backup.at("closing"), 0) << "a back-up has no share";
    const HttpAnswer refused = admin.post("/api/v1/upstreams/hashed/rebalance");
    EXPECT_EQ(refused.status, 409);
    EXPECT_NE(refused.body.find("maglev"), std::string::npos) << refused.body;
}

TEST(Admin, rebalancing_leaves_alone_where_a_route_asks_for_a_role) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service(
        {a.text()}, "", "",
        "route = [{ sni = [\"db.example\"], upstream = \"db\", role = \"replica\" }]\n");
    config.more =
        "\n[[upstream]]\nname = \"db\"\nhealth_check = { type = \"postgres\", user = \"u\", "
        "interval = \"1h\" }\n[[upstream.backend]]\nname = \"b\"\naddress = \"" +
        b.text() + "\"\n";
    ProxyProcess proxy(config);
    const HttpAnswer refused = proxy.admin().post("/api/v1/upstreams/db/rebalance");
    EXPECT_EQ(refused.status, 409) << refused.body;
    EXPECT_NE(refused.body.find("listener in asks for the replica"), std::string::npos)
        << refused.body;
    EXPECT_EQ(proxy.admin().post("/api/v1/upstreams/in/rebalance", R"({"dry_run":true})").status,
              200);
}

TEST(Admin, a_backend_that_recovers_gets_live_sessions_where_that_is_configured) {
    EchoServer a;
    ChaosBackend b(scripts::echo());
    b.stop_listening();
    ConfigText config = one_service(
        {a.text(), b.text()}, "",
        "panic_threshold = 0\n"
        "health_check = { type = \"tcp\", interval = \"100ms\", fast_interval = \"50ms\", "
        "down_interval = { base = \"50ms\", max = \"100ms\" } }\n"
        "rebalance = { on = [\"recovered\"], over = \"1s\", max_share = 1, min_age = \"0s\" }");
    ProxyProcess proxy(config);
    auto clients = clients_of(proxy, 8);
    EXPECT_EQ(a.open(), 8U);
    b.start_listening();
    EXPECT_TRUE(wait_for([&] { return a.open() == 4; }, 30s));
    const auto log = expect_lines(proxy, 4);
    for (const auto& line : log) EXPECT_EQ(line.reason, "rebalanced");
    EXPECT_TRUE(proxy.says("upstream in: 4 of 8 sessions move over 1s\n"));
}

TEST(Admin, a_paused_upstream_holds_its_clients_and_serves_them_afterwards) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    auto before = established(proxy.address());
    ASSERT_TRUE(before);
    const AdminClient admin = proxy.admin();
    ASSERT_EQ(admin.post("/api/v1/upstreams/in/pause", R"({"max":"60s"})").status, 200);
    EXPECT_TRUE(ping(*before)) << "who is there already goes on";
    ASSERT_TRUE(wait_for([&] {
        auto client = Socket::connect(proxy.address());
        EXPECT_TRUE(client && client->send("x"));
        const bool held = wait_for(
            [&] { return get_json(admin, "/api/v1/upstreams/in").at("held") != 0; }, 300ms);
        return held;
    }));
    std::vector<Socket> clients;
    for (int i = 0; i < 6; ++i) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client && client->send("hello"));
        clients.push_back(std::move(*client));
    }
    ASSERT_TRUE(wait_for(
        [&] { return get_json(admin, "/api/v1/upstreams/in").at("held").to_number<int>() >= 6; }));
    EXPECT_EQ(get_json(admin, "/api/v1/upstreams/in").at("paused"), true);
    ASSERT_EQ(admin.post("/api/v1/upstreams/in/resume").status, 200);
    for (auto& client : clients) EXPECT_EQ(client.receive_text(5), "hello");
    EXPECT_EQ(admin.post("/api/v1/upstreams/in/resume").status, 409);
}

TEST(Admin, a_pause_ends_by_itself) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    const AdminClient admin = proxy.admin();
    ASSERT_EQ(admin.post("/api/v1/upstreams/in/pause", R"({"max":"500ms"})").status, 200);
    EXPECT_TRUE(
        wait_for([&] { return get_json(admin, "/api/v1/upstreams/in").at("paused") == false; }));
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(proxy.says("upstream in: the pause is over: clients are served again\n"));
}

TEST(Admin, a_splits_weights_change_while_running) {
    EchoServer one;
    EchoServer two;
    ConfigText config = one_service({one.text()});
    config.services.front().name = "v1";
    config.services.front().listener = "";
    Service second = config.services.front();
    second.name = "v2";
    second.backends = {two.text()};
    config.services.push_back(second);
    std::string toml = config.toml();
    toml +=
        "\n[[listener]]\nname = \"both\"\nbind = \"127.0.0.1:0\"\n"
        "split = [ { upstream = \"v1\", weight = 1 }, { upstream = \"v2\", weight = 1 } ]\n";
    ProxyProcess proxy(toml);
    const auto shares = [&] {
        const unsigned before = two.accepted();
        for (int i = 0; i < 10; ++i) EXPECT_TRUE(echo_once(proxy.address("both")));
        return two.accepted() - before;
    };
    EXPECT_EQ(shares(), 5U);
    const AdminClient admin = proxy.admin();
    EXPECT_EQ(admin.post("/api/v1/listeners/both/split", R"({"v1":9,"v2":1})").status, 200);
    EXPECT_TRUE(wait_for([&] { return shares() == 1; }));
    EXPECT_EQ(admin.post("/api/v1/listeners/both/split", R"({"v1":0,"v2":0})").status, 400);
    EXPECT_EQ(admin.post("/api/v1/listeners/both/split", R"({"v1":1})").status, 400);
    EXPECT_EQ(admin.post("/api/v1/listeners/both/split", R"({"v1":1,"v3":1})").status, 400);
    EXPECT_EQ(admin.post("/api/v1/listeners/v1/split", R"({"v1":1})").status, 409);
    const auto listeners = get_json(admin, "/api/v1/listeners");
    for (const auto& listener : listeners.as_array())
        if (listener.at("name") == "both") {
            EXPECT_EQ(listener.at("split").at("v1"), 9);
        }
}

TEST(Admin, a_drained_process_says_so_and_goes_on_accepting) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    const AdminClient admin = proxy.admin();
    EXPECT_EQ(admin.get("/readyz").status, 200);
    EXPECT_EQ(admin.post("/api/v1/drain", R"({"listener":"in"})").status, 200);
    EXPECT_EQ(admin.get("/readyz?listener=in").status, 503);
    EXPECT_EQ(metrics_of(proxy).value("penstock_draining"), 1) << "/readyz says no";
    const auto refusal = admin.post("/api/v1/undrain");
    EXPECT_EQ(refusal.status, 409);
    EXPECT_NE(refusal.body.find("these listeners are: in;"), std::string::npos) << refusal.body;
    EXPECT_EQ(admin.post("/api/v1/undrain", R"({"listener":"in"})").status, 200);
    EXPECT_EQ(metrics_of(proxy).value("penstock_draining"), 0);
    EXPECT_EQ(admin.post("/api/v1/undrain", R"({"listener":"in"})").status, 409);
    EXPECT_EQ(admin.post("/api/v1/undrain").status, 409) << "nothing is draining";
    EXPECT_EQ(admin.post("/api/v1/drain").status, 200);
    EXPECT_EQ(admin.get("/readyz").status, 503);
    EXPECT_EQ(metrics_of(proxy).value("penstock_draining"), 1);
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(admin.post("/api/v1/undrain").status, 200);
    EXPECT_EQ(admin.get("/readyz").status, 200);
    EXPECT_EQ(admin.post("/api/v1/drain", R"({"listener":"none"})").status, 404);
}

TEST(Admin, ready_upstreams_decide_whether_the_process_is_ready) {
    ChaosBackend backend(scripts::echo());
    ConfigText config = one_service(
        {backend.text()}, "",
        "panic_threshold = 0\nhealth_check = { type = \"tcp\", interval = \"100ms\", "
        "fast_interval = \"50ms\", down_interval = { base = \"50ms\", max = \"100ms\" } }");
    config.admin = "[admin]\nready_upstreams = [\"in\"]";
    ProxyProcess proxy(config);
    const AdminClient admin = proxy.admin();
    EXPECT_EQ(admin.get("/readyz").status, 200);
    backend.stop_listening();
    EXPECT_TRUE(wait_for([&] { return admin.get("/readyz").status == 503; }));
    backend.start_listening();
    EXPECT_TRUE(wait_for([&] { return admin.get("/readyz").status == 200; }));
}

TEST(Admin, a_listener_without_anybody_in_its_role_is_not_ready) {
    std::atomic<bool> is_primary = false;
    ChaosBackend backend([&](Socket& socket, const ChaosBackend&) {
        socket.receive_text(4);
        socket.send(std::string("HTTP/1.1 ") + (is_primary ? "200" : "206") +
                    " X\r\nContent-Length: 0\r\n\r\n");
        socket.wait_end();
    });
    ConfigText config = one_service({backend.text()}, "",
                                    "health_check = { type = \"http\", http = { primary_status = "
                                    "[200], replica_status = [206] }, "
                                    "interval = \"100ms\", fast_interval = \"50ms\" }",
                                    "role = \"primary\"");
    config.more =
        "[[listener]]\nname = \"routed\"\nbind = \"127.0.0.1:0\"\nupstream = \"\"\n"
        "route = [{ source = [\"127.0.0.0/8\"], upstream = \"in\", role = \"replica\" }]\n";
    ProxyProcess proxy(config);
    const AdminClient admin = proxy.admin();
    const auto available = [&](const std::string& listener, const std::string& role) {
        return metrics_of(proxy).value("penstock_listener_backends_available{listener=\"" +
                                       listener + "\",upstream=\"in\",role=\"" + role + "\"}");
    };
    const auto writes = admin.get("/readyz?listener=in");
    EXPECT_EQ(writes.status, 503);
    EXPECT_EQ(writes.body, "listener in: upstream in: no primary is available\n");
    EXPECT_EQ(admin.get("/readyz?listener=routed").status, 200);
    EXPECT_EQ(available("in", "primary"), 0);
    EXPECT_EQ(available("routed", "replica"), 1);
    is_primary = true;
    EXPECT_TRUE(wait_for([&] { return admin.get("/readyz?listener=in").status == 200; }));
    EXPECT_EQ(admin.get("/readyz?listener=routed").status, 503);
    EXPECT_EQ(admin.get("/readyz?upstream=in").status, 200) << "some are served";
    EXPECT_EQ(available("in", "primary"), 1);
    EXPECT_EQ(available("routed", "replica"), 0);
}

TEST(Admin, a_proxy_whose_backends_are_merely_full_is_ready) {
    EchoServer echo;
    ConfigText config =
        one_service({echo.text()}, "", "backend_defaults = { max_connections = 1 }");
    config.admin = "[admin]\nready_upstreams = [\"in\"]";
    ProxyProcess proxy(config);
    const auto clients = clients_of(proxy, 1);
    const AdminClient admin = proxy.admin();
    const auto upstream = get_json(admin, "/api/v1/upstreams/in");
    EXPECT_EQ(upstream.at("backends").at(0).at("excluded_by"), "full") << text(upstream);
    const auto ready = admin.get("/readyz");
    EXPECT_EQ(ready.status, 200) << ready.body;
}

}  // namespace
}  // namespace penstock::test
