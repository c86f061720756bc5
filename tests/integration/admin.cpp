// The admin API of the running program: what it shows is what happened.
#include <array>
#include <map>

#include "tests/integration/admin_scenario.hpp"
#include "tests/support/counter_check.hpp"
#include "tests/support/held_thread.hpp"
#include "tests/support/process_stats.hpp"

namespace penstock::test {
namespace {

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

json::value explained(const ProxyProcess& proxy, const std::string& more = "") {
    return get_json(proxy.admin(), "/api/v1/explain?listener=in" + more);
}

TEST(Admin, explain_tells_who_takes_turns_from_nobody) {
    EchoServer a;
    EchoServer b;
    ProxyProcess proxy(one_service({a.text(), b.text()}));  // round_robin
    const auto found = explained(proxy);
    EXPECT_EQ(found.at("outcome"), "served");
    EXPECT_TRUE(found.at("chosen").is_null());
    const auto shown = run_penstock(
        {"explain", "in", "--admin", "unix:" + (proxy.directory() / "admin.sock").string()});
    EXPECT_NE(shown.output.find("they take turns, by weight"), std::string::npos) << shown.output;
    EXPECT_EQ(shown.output.find("no backend"), std::string::npos) << shown.output;
}

TEST(Admin, explain_says_what_becomes_of_a_client_that_gets_no_backend) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}, "",
                                   "backend_defaults = { max_connections = 1 }\n"
                                   "queue = { timeout = \"2s\" }\nno_backend = \"hold\"\n"
                                   "hold = { timeout = \"3s\" }"));
    const auto client = established(proxy.address());
    ASSERT_TRUE(client);
    const auto full = explained(proxy);
    EXPECT_EQ(full.at("outcome"), "queued") << text(full);
    EXPECT_EQ(full.at("note"), "no available backend has room: the client queues, at most 2s");
    const AdminClient admin = proxy.admin();
    EXPECT_EQ(admin.post("/api/v1/upstreams/in/backends/b0", R"({"state":"drain"})").status, 200);
    const auto away = explained(proxy);
    EXPECT_EQ(away.at("outcome"), "held") << text(away);
    EXPECT_EQ(away.at("note"), "no backend is available: the client is held, at most 3s");
    EXPECT_EQ(admin.post("/api/v1/upstreams/in/pause").status, 200);
    EXPECT_EQ(explained(proxy).at("note"),
              "the upstream is paused: the client is held, at most 3s");
}

TEST(Admin, explain_foretells_the_refusal_of_a_source) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}, "", "",
                                   "max_connections_per_source = 1\n"
                                   "accept_rate_per_source = \"2/h\"\naccept_rate = \"9/h\""));
    {
        const auto client = established(proxy.address());
        ASSERT_TRUE(client);
        const auto found = explained(proxy, "&source=127.0.0.1");
        EXPECT_EQ(found.at("outcome"), "refused") << text(found);
        EXPECT_EQ(found.at("note"), "refused now: limit_source");
        EXPECT_TRUE(found.at("chosen").is_null());
        EXPECT_EQ(explained(proxy, "&source=127.0.0.2").at("outcome"), "served");
    }
    ASSERT_TRUE(
        wait_for([&] { return explained(proxy, "&source=127.0.0.1").at("outcome") == "served"; }));
    ASSERT_TRUE(echo_once(proxy.address()));
    json::value found;
    EXPECT_TRUE(wait_for([&] {
        found = explained(proxy, "&source=127.0.0.1");
        return found.at("note") == "refused now: rate_source";
    })) << text(found);
    std::map<std::string, std::string> rates;
    for (const auto& limit : found.at("limits").as_array())
        if (limit.as_object().contains("rate"))
            rates[limit.at("name").as_string().c_str()] = text(limit);
    EXPECT_EQ(rates["accept_rate_per_source"],
              R"({"name":"accept_rate_per_source","used":2,"limit":2,"rate":"2/h"})");
    EXPECT_EQ(rates["accept_rate"], R"({"name":"accept_rate","used":2,"limit":9,"rate":"9/h"})");
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
    EXPECT_LT(since(start), scaled(promptly));
}

// --- a worker that stands still -----------------------------------------------------------------

TEST(Admin, R11_a_worker_that_stands_still_is_told_and_the_others_serve) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    const AdminClient admin = proxy.admin();
    ASSERT_EQ(admin.get("/livez").status, 200);
    HeldWorker worker(proxy.pid());
    EXPECT_TRUE(wait_for([&] { return admin.get("/livez").status == 503; }));
    EXPECT_NE(admin.get("/livez").body.find("has not answered for"), std::string::npos);
    EXPECT_EQ(admin.get("/api/v1/sessions").status, 200) << "of the others";
    EXPECT_TRUE(proxy.says("its connections stand still"));
    EXPECT_TRUE(proxy.says("does not say where it stands: its thread does not run"));
    // Of several tries some come to the worker that runs.
    bool served = false;
    for (int i = 0; i < 20 && !served; ++i) served = echo_once(proxy.address(), 2s).has_value();
    EXPECT_TRUE(served);
    worker.release();
    EXPECT_TRUE(wait_for([&] { return admin.get("/livez").status == 200; }));
    EXPECT_EQ(admin.get("/api/v1/sessions").status, 200) << "a late answer did no harm";
    EXPECT_TRUE(proxy.says("answers again"));
    EXPECT_TRUE(echo_once(proxy.address()));
}

TEST(Admin, H7_a_worker_that_waits_for_ever_leaves_its_stack_in_the_log) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    DeadlockedWorker worker(proxy.pid());
    ASSERT_TRUE(proxy.says(" stood at ")) << proxy.errors();
    EXPECT_EQ(proxy.admin().get("/livez").status, 503) << "the question has not set it free";
    // What it is good for.
    const std::string program = std::filesystem::path(penstock_binary()).filename().string() + "+";
    std::vector<std::string> command{"addr2line", "-Cfie", penstock_binary()};
    const std::string log = proxy.errors();
    for (auto at = log.find(program); at != std::string::npos; at = log.find(program, at + 1)) {
        const auto from = at + program.size();
        command.push_back(log.substr(from, log.find_first_of(" \n", from) - from));
    }
    const std::string functions = run_program(command);
    EXPECT_TRUE(functions.contains("EventLoop::turn")) << functions << log;
    EXPECT_TRUE(functions.contains("Worker::run")) << functions << log;
    worker.release();
    EXPECT_TRUE(proxy.says("answers again"));
    EXPECT_TRUE(echo_once(proxy.address()));
}

}  // namespace
}  // namespace penstock::test
