// The admin API of the running program: who may do what, and that nobody can harm it.
#include <sys/stat.h>

#include <map>

#include "tests/integration/admin_scenario.hpp"

namespace penstock::test {
namespace {

TEST(Admin, M1_without_a_word_it_is_a_socket_for_this_user_alone) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    const auto path = proxy.directory() / "admin.sock";
    struct stat status{};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_TRUE(S_ISSOCK(status.st_mode));
    EXPECT_EQ(status.st_mode & 07777, 0600U);
    EXPECT_EQ(proxy.admin().get("/livez").body, "alive\n");
    proxy.stop();
    EXPECT_FALSE(std::filesystem::exists(path)) << "it is removed at the end";
}

TEST(Admin, M1_over_the_network_without_a_token_is_an_error_at_the_start) {
    for (const char* listener :
         {"bind = \"127.0.0.1:0\"\naccess = \"full\"", "bind = \"0.0.0.0:0\"\naccess = \"read\""}) {
        const TempDir directory;
        const auto file = directory.path() / "penstock.toml";
        std::ofstream(file) << with_tcp({"127.0.0.1:1"}, listener).toml();
        const Finished finished = run_penstock({"run", "-c", file.string()});
        EXPECT_EQ(finished.exit_status, 2) << listener;
        EXPECT_NE(finished.errors.find("token_file"), std::string::npos) << finished.errors;
    }
}

TEST(Admin, M2_wrong_tokens_are_refused_however_many_and_the_right_one_passes) {
    EchoServer echo;
    const TempDir directory;
    ProxyProcess proxy(with_tcp({echo.text()},
                                "bind = \"127.0.0.1:0\"\naccess = \"full\"\n"
                                "token_file = \"" +
                                    write_token(directory) + "\""));
    const AdminClient admin = tcp_admin(proxy);
    const auto with = [&](const std::string& authorization) {
        return admin
            .send({.target = "/api/v1/status", .header = {"Authorization: " + authorization}})
            .status;
    };
    EXPECT_EQ(admin.get("/api/v1/status").status, 401);
    EXPECT_EQ(admin.get("/metrics").status, 200);
    EXPECT_EQ(admin.get("/").status, 200) << "the page itself asks for the token";
    std::map<int, int> statuses;
    for (int i = 0; i < 1000; ++i) ++statuses[with("Bearer guess-" + std::to_string(i) + token)];
    EXPECT_EQ(statuses[401] + statuses[429], 1000);
    EXPECT_GT(statuses[429], 0) << "guessing is slowed down";
    EXPECT_EQ(with("Bearer " + token), 200);
    EXPECT_EQ(with("Bearer " + std::string(12'000, 'x')), 429);
    const std::string log = proxy.errors();
    EXPECT_NE(log.find("without the right token"), std::string::npos);
    EXPECT_EQ(log.find(token), std::string::npos);
}

TEST(Admin, M2_a_changed_token_file_counts_without_a_restart) {
    EchoServer echo;
    const TempDir directory;
    const std::string file = write_token(directory);
    ProxyProcess proxy(with_tcp({echo.text()},
                                "bind = \"127.0.0.1:0\"\naccess = \"full\"\n"
                                "token_file = \"" +
                                    file + "\""));
    const AdminClient admin = tcp_admin(proxy);
    const std::string changed = "another-token-of-enough-length";
    const auto status = [&](const std::string& with) {
        return admin.send({.target = "/api/v1/status", .header = {"Authorization: Bearer " + with}})
            .status;
    };
    ASSERT_EQ(status(token), 200);
    std::ofstream(file + ".new") << changed << "\n";
    std::filesystem::rename(file + ".new", file);
    EXPECT_TRUE(wait_for([&] { return status(changed) == 200; }));
    EXPECT_NE(status(token), 200);
}

TEST(Admin, M3_foreign_hosts_get_nothing_and_nothing_changes_by_get) {
    EchoServer echo;
    ProxyProcess proxy(with_tcp({echo.text()}, "bind = \"127.0.0.1:0\"\naccess = \"read\""));
    const AdminClient admin = tcp_admin(proxy);
    const auto hosted = [&](const std::string& host, const std::string& target) {
        return admin.send({.target = target, .header = {"Host: " + host}}).status;
    };
    EXPECT_EQ(hosted("evil.example", "/api/v1/status"), 421);
    EXPECT_EQ(hosted("evil.example", "/"), 421);
    EXPECT_EQ(hosted("evil.example", "/metrics"), 200);
    EXPECT_EQ(hosted("localhost", "/api/v1/status"), 200);
    EXPECT_EQ(admin.get("/api/v1/upstreams/in/backends/b0").status, 405);
    EXPECT_EQ(admin.post("/api/v1/drain").status, 403) << "this listener only reads";
    EXPECT_EQ(admin.get("/readyz").status, 200);
}

TEST(Admin, M4_rude_requests_are_answered_or_dropped_and_traffic_does_not_notice) {
    EchoServer echo;
    ProxyProcess proxy(with_tcp({echo.text()}, "bind = \"127.0.0.1:0\"\naccess = \"read\""));
    const AdminClient admin = tcp_admin(proxy);
    const auto answer = [&](const std::string& bytes) { return admin.exchange(bytes, 15s); };
    const std::string rest = "Host: localhost\r\nConnection: close\r\n\r\n";
    EXPECT_TRUE(answer("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n" + rest)
                    .starts_with("HTTP/1.1 431"));
    EXPECT_TRUE(answer("POST /api/v1/drain HTTP/1.1\r\nContent-Length: 9999999\r\n" + rest)
                    .starts_with("HTTP/1.1 413"));
    EXPECT_TRUE(answer("\x16\x03\x01 this is no HTTP\r\n\r\n").starts_with("HTTP/1.1 400"));
    EXPECT_TRUE(answer("POST /api/v1/drain HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + rest +
                       "ffffffffffffffff\r\n")
                    .starts_with("HTTP/1.1 4"));
    const std::string two =
        answer("GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\n" + rest);
    EXPECT_NE(two.find("alive"), two.rfind("alive")) << "pipelined requests are answered in turn";
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Admin, M4_a_plan_may_be_larger_than_other_bodies_for_who_may_have_one) {
    EchoServer echo;
    ProxyProcess proxy(with_tcp({echo.text()}, "bind = \"127.0.0.1:0\"\naccess = \"read\""));
    const AdminClient reader = tcp_admin(proxy);
    const AdminClient owner = proxy.admin();
    const std::string large(3U << 20U, '#');  // a comment
    const int status = owner.post("/api/v1/plan", large).status;
    EXPECT_NE(status, 0);
    EXPECT_NE(status, 413);
    // Who is refused is so before the body has come.
    const auto announce = [](const AdminClient& client, const std::string& target, int mib,
                             const std::string& body = "") {
        return client.exchange("POST " + target + " HTTP/1.1\r\nHost: localhost\r\n" +
                                   "Connection: close\r\nContent-Length: " +
                                   std::to_string(mib << 20) + "\r\n\r\n" + body,
                               15s);
    };
    const std::string refused = "HTTP/1.1 413";
    EXPECT_TRUE(announce(owner, "/api/v1/plan", 5).starts_with(refused));
    EXPECT_TRUE(announce(owner, "/api/v1/reload", 3).starts_with(refused));
    EXPECT_TRUE(announce(reader, "/api/v1/plan", 3).starts_with(refused));
    EXPECT_EQ(reader.post("/api/v1/plan", "# a comment").status, 403);

    const auto chunk = [](const AdminClient& client, const std::string& text) {
        return client.exchange(
            "POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            "Transfer-Encoding: chunked\r\n\r\n" +
                text,
            15s);
    };
    const auto taken = chunk(owner, "300000\r\n" + large + "\r\n0\r\n\r\n");
    EXPECT_TRUE(taken.starts_with("HTTP/1.1 ")) << taken;
    EXPECT_FALSE(taken.starts_with(refused)) << taken;
    EXPECT_TRUE(chunk(owner, "500000\r\n").starts_with(refused));
    EXPECT_TRUE(chunk(reader, "200000\r\n").starts_with(refused));
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Admin, M4_a_crowd_of_slow_clients_locks_nobody_out) {
    EchoServer echo;
    ProxyProcess proxy(with_tcp({echo.text()}, "bind = \"127.0.0.1:0\"\naccess = \"read\""));
    const AdminClient admin = tcp_admin(proxy);
    const HttpAnswer first = admin.get("/livez");
    ASSERT_EQ(first.status, 200);
    static const std::string head = "admin API on ";
    const std::string log = proxy.errors();
    const auto at = log.find(head + "127.0.0.1:") + head.size();
    const Address address = Address::parse(log.substr(at, log.find(' ', at) - at));
    Probe probe(proxy.address());
    std::vector<Socket> crowd;
    for (int i = 0; i < 300; ++i) {
        auto socket = Socket::connect(address);
        ASSERT_TRUE(socket);
        if (i % 2 == 0) socket->send("GET /liv");
        crowd.push_back(std::move(*socket));
        if (i % 50 == 49) {
            EXPECT_EQ(admin.get("/livez").status, 200) << i;
        }
    }
    EXPECT_EQ(proxy.admin().get("/readyz").status, 200);
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Admin, M9_secrets_are_not_shown) {
    EchoServer echo;
    const TempDir directory;
    const std::string secret = "a-secret-greeting";
    ProxyProcess proxy(with_tcp(
        {echo.text()},
        "bind = \"127.0.0.1:0\"\naccess = \"full\"\ntoken_file = \"" + write_token(directory) +
            "\"",
        "health_check = { type = \"exchange\", exchange = { send = \"" + secret + "\" } }"));
    for (const char* page : {"/api/v1/config", "/api/v1/status", "/api/v1/upstreams",
                             "/api/v1/events", "/metrics", "/"}) {
        const std::string body = proxy.admin().get(page).body;
        EXPECT_FALSE(body.empty()) << page;
        EXPECT_EQ(body.find(token), std::string::npos) << page;
        EXPECT_EQ(body.find(secret), std::string::npos) << page;
    }
    EXPECT_NE(proxy.admin().get("/api/v1/config").body.find("operator.token"), std::string::npos);
}

TEST(Admin, M10_a_proxy_without_room_for_clients_still_answers_its_operator) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.process += "\nmax_connections = 4";
    ProxyProcess proxy(config);
    std::vector<Socket> clients;
    for (int i = 0; i < 4; ++i) {
        auto client = established(proxy.address());
        ASSERT_TRUE(client);
        clients.push_back(std::move(*client));
    }
    auto refused = Socket::connect(proxy.address());
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->wait_end(), End::reset);
    EXPECT_EQ(proxy.admin().get("/livez").status, 200);
    const auto page = metrics_of(proxy);
    EXPECT_EQ(page.value("penstock_connections_active"), 4);
    EXPECT_EQ(page.value("penstock_connections_limit"), 4);
    EXPECT_EQ(
        page.value("penstock_listener_refused_total{listener=\"in\",reason=\"limit_process\"}"), 1);
    json::value events;
    ASSERT_TRUE(wait_for([&] {
        events = get_json(proxy.admin(), "/api/v1/events");
        return events.as_array().size() == 1;
    })) << text(events);
    EXPECT_EQ(events.at(0).at("kind"), "limit");
    EXPECT_EQ(events.at(0).at("to"), "limit_process");
}

}  // namespace
}  // namespace penstock::test
