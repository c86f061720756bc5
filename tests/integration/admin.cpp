// The admin API of the running program: who may do what, and that what is done happens.
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "tests/integration/scenario.hpp"
#include "tests/support/admin_client.hpp"
#include "tests/support/counter_check.hpp"
#include "tests/support/process_stats.hpp"

namespace penstock::test {
namespace {

namespace json = boost::json;

const std::string token = "a-token-that-nobody-guesses-0123456789";

// The unix socket, and a port of its own for what goes over TCP.
ConfigText with_tcp(std::vector<std::string> backends, const std::string& listener,
                    std::string upstream = "") {
    ConfigText config = one_service(std::move(backends), "", std::move(upstream));
    config.admin =
        "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n[[admin.listener]]\n" + listener;
    return config;
}

// The program logs where its API really listens.
AdminClient tcp_admin(const ProxyProcess& proxy) {
    static const std::string head = "admin API on 127.0.0.1:";
    std::string port;
    wait_for([&] {
        const std::string log = proxy.errors();
        const auto at = log.find(head);
        if (at == std::string::npos) return false;
        const auto begin = at + head.size();
        port = log.substr(begin, log.find(' ', begin) - begin);
        return true;
    });
    return AdminClient("127.0.0.1:" + port);
}

json::value get_json(const AdminClient& admin, const std::string& target) {
    const HttpAnswer answer = admin.get(target);
    EXPECT_EQ(answer.status, 200) << target << "\n" << answer.body;
    return answer.status == 200 ? json::parse(answer.body) : json::value(nullptr);
}

MetricsPage metrics_of(const ProxyProcess& proxy) {
    return MetricsPage(proxy.admin().get("/metrics").body);
}

std::string write_token(const TempDir& directory) {
    const auto path = directory.path() / "operator.token";
    std::ofstream(path) << token << "\n";
    std::filesystem::permissions(path, std::filesystem::perms::owner_read);
    return path.string();
}

std::string text(const json::value& value) { return json::serialize(value); }

// --- who may do what ----------------------------------------------------------------------------

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

// --- metrics ------------------------------------------------------------------------------------

TEST(Admin, M8_counters_never_go_backwards_under_load_and_end_exact) {
    EchoServer a;
    EchoServer b;
    ConfigText config = one_service({a.text(), b.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    std::map<std::string, double> last;
    constexpr int clients = 400;
    for (int i = 0; i < clients; ++i) {
        ASSERT_TRUE(echo_once(proxy.address()));
        if (i % 20 != 0) continue;
        const auto page = metrics_of(proxy);
        for (const auto& [sample, value] : page.samples()) {
            if (!sample.contains("_total") && !sample.contains("_bucket")) continue;
            ASSERT_GE(value, last[sample]) << sample;
            last[sample] = value;
        }
        for (const auto& problem : contradictions(page)) ADD_FAILURE() << problem;
    }
    ASSERT_TRUE(
        wait_for([&] { return metrics_of(proxy).value("penstock_connections_active") == 0; }));
    const auto page = metrics_of(proxy);
    EXPECT_EQ(page.value("penstock_listener_connections_total{listener=\"in\"}"), clients);
    EXPECT_EQ(page.sum("penstock_backend_connections_total"), a.accepted() + b.accepted());
    EXPECT_EQ(page.sum("penstock_session_setup_seconds_count"), clients);
    EXPECT_EQ(page.sum("penstock_backend_first_byte_seconds_count"), clients);
    EXPECT_EQ(page.sum("penstock_backend_connect_seconds_count"), clients);
}

TEST(Admin, M6_what_clients_send_makes_no_series) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    const std::size_t before = metrics_of(proxy).samples().size();
    for (int i = 0; i < 50; ++i) {
        auto client =
            Socket::connect(proxy.address(), {.source = "127.0.0." + std::to_string(2 + i) + ":0"});
        ASSERT_TRUE(client);
        EXPECT_TRUE(ping(*client, "GET /" + std::to_string(i) + " HTTP/1.1\r\n"));
    }
    EXPECT_EQ(metrics_of(proxy).samples().size(), before);
}

// Bytes are there while the connection is.
TEST(Admin, bytes_advance_while_a_session_lives) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto client = established(proxy.address());
    ASSERT_TRUE(client);
    const auto bytes = [&] {
        return metrics_of(proxy).sum("penstock_backend_bytes_total", {"direction=\"to_client\""});
    };
    ASSERT_TRUE(wait_for([&] { return bytes() == 4; }));  // the first ping
    ASSERT_TRUE(ping(*client, std::string(1000, 'x')));
    EXPECT_TRUE(wait_for([&] { return bytes() == 1004; }));
}

// --- what is shown ------------------------------------------------------------------------------

TEST(Admin, status_sessions_and_closes_tell_what_happens) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto client = established(proxy.address(), {.source = "127.0.0.9:0"});
    ASSERT_TRUE(client);
    const AdminClient admin = proxy.admin();
    const auto status = get_json(admin, "/api/v1/status");
    EXPECT_EQ(status.at("pid").to_number<int>(), proxy.pid());
    EXPECT_EQ(status.at("state"), "running");
    EXPECT_EQ(status.at("connections").at("active"), 1);

    const auto sessions = get_json(admin, "/api/v1/sessions?source=127.0.0.9/32");
    ASSERT_EQ(sessions.as_array().size(), 1U) << text(sessions);
    const auto& session = sessions.at(0);
    EXPECT_EQ(session.at("client").as_string(), client->local().text());
    EXPECT_EQ(session.at("state"), "relaying");
    EXPECT_EQ(session.at("backend"), "b0");
    EXPECT_EQ(session.at("bytes").at("to_backend"), session.at("bytes").at("to_client"));
    EXPECT_EQ(admin.get("/api/v1/sessions?source=10.0.0.0/8").body, "[]\n");
    EXPECT_EQ(admin.get("/api/v1/sessions?older=1h").body, "[]\n");

    client->finish();
    ASSERT_EQ(client->wait_end(), End::fin);
    ASSERT_TRUE(wait_for([&] { return get_json(admin, "/api/v1/closes").as_array().size() == 1; }));
    const auto closed = get_json(admin, "/api/v1/closes?reason=completed").at(0);
    EXPECT_EQ(closed.at("id"), session.at("id"));
    EXPECT_EQ(admin.get("/api/v1/closes").body, "[" + expect_lines(proxy, 1).at(0).raw + "]\n")
        << "the very line of the access log";
    EXPECT_TRUE(get_json(admin, "/api/v1/closes?reason=killed").as_array().empty());
}

TEST(Admin, a_thousand_closed_connections_are_remembered_without_an_access_log) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.access_log = "target = \"off\"";
    ProxyProcess proxy(config);
    for (int i = 0; i < 1010; ++i) ASSERT_TRUE(echo_once(proxy.address()));
    const auto closes = get_json(proxy.admin(), "/api/v1/closes");
    EXPECT_EQ(closes.as_array().size(), 1000U);
    EXPECT_GE(closes.at(0).at("id").as_string(), closes.at(999).at("id").as_string())
        << "the newest first";
    EXPECT_EQ(get_json(proxy.admin(), "/api/v1/closes?limit=3").as_array().size(), 3U);
}

TEST(Admin, explain_names_the_reason_of_each_exclusion) {
    EchoServer a;
    EchoServer b;
    const ClosedPort dead;
    ProxyProcess proxy(one_service({a.text(), b.text(), dead.address.text()}, "",
                                   "panic_threshold = 0\nhealth_check = \"tcp\""));
    const AdminClient admin = proxy.admin();
    EXPECT_EQ(admin.post("/api/v1/upstreams/in/backends/b1", R"({"state":"drain"})").status, 200);
    const auto explanation = get_json(admin, "/api/v1/explain?listener=in&source=10.0.0.1");
    EXPECT_EQ(explanation.at("chosen"), "b0");
    std::map<std::string, std::string> excluded;
    for (const auto& candidate : explanation.at("candidates").as_array())
        if (candidate.at("excluded_by").is_string())
            excluded[candidate.at("backend").as_string().c_str()] =
                candidate.at("excluded_by").as_string().c_str();
    EXPECT_EQ(excluded, (std::map<std::string, std::string>{{"b1", "drain"}, {"b2", "down"}}));
    EXPECT_EQ(admin.get("/api/v1/explain?listener=none").status, 404);
}

TEST(Admin, the_stream_tells_status_and_events_as_they_come) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto stream =
        Socket::connect(Address::parse("unix:" + (proxy.directory() / "admin.sock").string()));
    ASSERT_TRUE(stream);
    ASSERT_TRUE(stream->send("GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n"));
    std::string received;
    const auto receive_until = [&](const std::string& mark) {
        std::array<std::byte, 65536> buffer;
        return wait_for([&] {
            const auto got = stream->try_receive(buffer);
            if (got > 0)
                received.append(reinterpret_cast<char*>(buffer.data()),
                                static_cast<std::size_t>(got));
            return received.find(mark) != std::string::npos;
        });
    };
    EXPECT_TRUE(receive_until("event: status\ndata: {\"status\":{\"version\":"));
    EXPECT_NE(received.find("text/event-stream"), std::string::npos);
    EXPECT_EQ(proxy.admin().post("/api/v1/drain").status, 200);
    EXPECT_TRUE(receive_until("event: event\ndata: {\"seq\":"));
    EXPECT_TRUE(receive_until("\"to\":\"draining\""));
    EXPECT_TRUE(receive_until("\"state\":\"draining\""));
}

// Numbers start anew with each process: one from before means nothing, and must not keep the
// control thread busy.
TEST(Admin, a_stream_from_a_number_that_never_was_costs_nothing) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto stream =
        Socket::connect(Address::parse("unix:" + (proxy.directory() / "admin.sock").string()));
    ASSERT_TRUE(stream);
    ASSERT_TRUE(
        stream->send("GET /api/v1/stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 999\r\n\r\n"));
    EXPECT_EQ(stream->receive_text(8), "HTTP/1.1");
    EXPECT_TRUE(wait_for([&] { return proxy.cpu_per_second() < 300ms; }, 20s));
}

TEST(Admin, a_proxy_ends_in_time_although_a_streams_client_does_not_read) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    auto stream =
        Socket::connect(Address::parse("unix:" + (proxy.directory() / "admin.sock").string()),
                        {.receive_buffer = 2048});
    ASSERT_TRUE(stream);
    ASSERT_TRUE(stream->send("GET /api/v1/stream HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_EQ(stream->receive_text(8), "HTTP/1.1");
    const auto start = Clock::now();
    proxy.stop();
    EXPECT_LT(since(start), 8s);
}

// --- what is done -------------------------------------------------------------------------------

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

std::vector<Socket> clients_of(const ProxyProcess& proxy, int count) {
    std::vector<Socket> clients;
    for (int i = 0; i < count; ++i) {
        auto client = established(proxy.address());
        EXPECT_TRUE(client);
        if (client) clients.push_back(std::move(*client));
    }
    return clients;
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
    EXPECT_EQ(admin.post("/api/v1/undrain", R"({"listener":"in"})").status, 200);
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

// --- a worker that stands still -----------------------------------------------------------------

// The first thread but the main one that waits in epoll_wait: a worker.
pid_t worker_thread(pid_t process) {
    for (const auto& task :
         std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
        const pid_t tid = std::stoi(task.path().filename().string());
        if (tid == process) continue;
        const std::string call = read_file(task.path() / "syscall");
        for (const char* number : {"232 ", "281 ", "441 "})  // epoll_wait and its kin on x86-64
            if (call.starts_with(number)) return tid;
    }
    return -1;
}

TEST(Admin, R11_a_worker_that_stands_still_is_told_and_the_others_serve) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const AdminClient admin = proxy.admin();
    ASSERT_EQ(admin.get("/livez").status, 200);
    pid_t worker = -1;
    ASSERT_TRUE(wait_for([&] { return (worker = worker_thread(proxy.pid())) > 0; }));
    ASSERT_EQ(::ptrace(PTRACE_SEIZE, worker, nullptr, nullptr), 0);
    ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, worker, nullptr, nullptr), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(worker, &status, __WALL), worker);
    EXPECT_TRUE(wait_for([&] { return admin.get("/livez").status == 503; }));
    EXPECT_NE(admin.get("/livez").body.find("has not answered for"), std::string::npos);
    EXPECT_EQ(admin.get("/api/v1/sessions").status, 200) << "of the others";
    EXPECT_TRUE(wait_for(
        [&] { return proxy.errors().find("its connections stand still") != std::string::npos; }));
    // Of several tries some come to the worker that runs.
    bool served = false;
    for (int i = 0; i < 20 && !served; ++i) served = echo_once(proxy.address(), 300ms).has_value();
    EXPECT_TRUE(served);
    ASSERT_EQ(::ptrace(PTRACE_DETACH, worker, nullptr, nullptr), 0);
    EXPECT_TRUE(wait_for([&] { return admin.get("/livez").status == 200; }));
    EXPECT_EQ(admin.get("/api/v1/sessions").status, 200) << "a late answer did no harm";
    EXPECT_TRUE(
        wait_for([&] { return proxy.errors().find("answers again") != std::string::npos; }));
    EXPECT_TRUE(echo_once(proxy.address()));
}

}  // namespace
}  // namespace penstock::test
