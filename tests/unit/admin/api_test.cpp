// Requests to responses, without any socket.
#include "admin/api.hpp"

#include <map>

#include <gtest/gtest.h>

#include "admin/bodies.hpp"
#include "tests/unit/admin/api_fixture.hpp"

namespace penstock::admin {
namespace {

namespace http = boost::beast::http;
using test::AdminApi;

TEST_F(AdminApi, every_page_answers) {
    for (const char* page :
         {"/", "/metrics", "/livez", "/readyz", "/api/v1/status", "/api/v1/listeners",
          "/api/v1/upstreams", "/api/v1/upstreams/web", "/api/v1/sessions", "/api/v1/closes",
          "/api/v1/config", "/api/v1/events", "/api/v1/explain?listener=web"}) {
        const auto response = get(page);
        EXPECT_EQ(response.result_int(), 200U) << page << response.body();
        EXPECT_FALSE(response.body().empty()) << page;
        EXPECT_EQ(response["X-Content-Type-Options"], "nosniff");
        EXPECT_EQ(response[http::field::access_control_allow_origin], "") << "no CORS";
    }
}

TEST_F(AdminApi, M3_a_change_is_a_post_and_nothing_happens_by_get) {
    for (const char* page :
         {"/api/v1/upstreams/web/backends/a", "/api/v1/upstreams/web/backends/a/kill",
          "/api/v1/upstreams/web/rebalance", "/api/v1/upstreams/web/pause",
          "/api/v1/upstreams/web/resume", "/api/v1/listeners/in/split", "/api/v1/drain",
          "/api/v1/undrain", "/api/v1/sessions/00000000000000010000000000000002/kill",
          "/api/v1/plan", "/api/v1/reload", "/api/v1/upgrade"}) {
        const auto response = get(page);
        EXPECT_EQ(response.result_int(), 405U) << page;
        EXPECT_EQ(response[http::field::allow], "POST") << page;
    }
    EXPECT_TRUE(operations.done.empty());
    EXPECT_EQ(post("/api/v1/status").result_int(), 405U);
    EXPECT_EQ(send(http::verb::delete_, "/api/v1/status").result_int(), 405U);
    EXPECT_EQ(send(http::verb::options, "/api/v1/status").result_int(), 405U);
}

TEST_F(AdminApi, what_is_not_there_is_not_found) {
    for (const char* page : {"/api/v2/status", "/api/v1", "/api/v1/upstreams/none", "/x/../livez",
                             "/livez/", "/api/v1/upstreams/web/backends/a/b"})
        EXPECT_EQ(get(page).result_int(), 404U) << page;
    EXPECT_EQ(get("no-path").result_int(), 400U);
    EXPECT_EQ(get("/%zz").result_int(), 400U);
}

TEST_F(AdminApi, changes_reach_the_proxy_with_their_actor) {
    EXPECT_EQ(post("/api/v1/upstreams/web/backends/a", R"({"state":"drain"})").result_int(), 200U);
    EXPECT_EQ(post("/api/v1/upstreams/web/backends/a", R"({"weight":5})").result_int(), 200U);
    EXPECT_EQ(post("/api/v1/upstreams/web/backends/a", R"({"reset":true})").result_int(), 200U);
    EXPECT_EQ(post("/api/v1/sessions/000000000000000a000100000000000f/kill").result_int(), 200U);
    EXPECT_EQ(post("/api/v1/upstreams/web/pause", R"({"max":"5s"})").result_int(), 200U);
    EXPECT_EQ(post("/api/v1/upstreams/web/resume").result_int(), 200U);
    EXPECT_EQ(post("/api/v1/listeners/in/split", R"({"v1":95,"v2":5})").result_int(), 200U);
    EXPECT_EQ(post("/api/v1/drain").result_int(), 200U);
    EXPECT_EQ(post("/api/v1/undrain", R"({"listener":"in"})").result_int(), 200U);
    EXPECT_EQ(operations.done,
              (std::vector<std::string>{
                  "web/a state 1 by uid 7", "web/a weight 5 by uid 7", "web/a reset by uid 7",
                  "kill 000000000000000a000100000000000f by uid 7", "pause web 5", "resume web",
                  "split in v1=95 v2=5", "drain ''", "undrain 'in'"}));
}

TEST_F(AdminApi, status_says_what_this_client_may_do) {
    EXPECT_EQ(json(get("/api/v1/status")).at("access"), "full");
    config::AdminListener reading;
    reading.access = config::AdminAccess::read;
    rules = AccessRules(reading, {}, "");
    EXPECT_EQ(json(get("/api/v1/status")).at("access"), "read");
}

TEST_F(AdminApi, names_in_paths_are_percent_encoded) {
    post("/api/v1/upstreams/web/backends/%5B%3A%3A1%5D%3A80%2Fx", R"({"state":"ready"})");
    ASSERT_EQ(operations.done.size(), 1U);
    EXPECT_EQ(operations.done.front(), "web/[::1]:80/x state 0 by uid 7");
}

TEST_F(AdminApi, endings_say_how_many) {
    const auto kill = post("/api/v1/upstreams/web/backends/a/kill",
                           R"({"over":"30s","share":0.5,"dry_run":true})");
    EXPECT_EQ(json(kill).at("closing"), 5);
    EXPECT_EQ(operations.done.back(), "kill web/a dry over 30000");
    const auto rebalance = post("/api/v1/upstreams/web/rebalance", R"({"max_share":0.1})");
    EXPECT_EQ(json(rebalance).at("backends").at("a"), 2);
}

TEST_F(AdminApi, mistakes_are_named_and_change_nothing) {
    const std::pair<const char*, const char*> cases[] = {
        {R"({"state":"gone"})", "state 'gone' is none of"},
        {R"({"stat":"drain"})", "unknown argument 'stat'"},
        {R"({})", "nothing to do"},
        {R"({"weight":-1})", "'weight' must be a whole number"},
        {R"({"weight":65536})", "'weight' must be a whole number"},
        {R"({"weight":"5"})", "'weight' must be a whole number"},
        {R"({"weight":1.5})", "'weight' must be a whole number"},
        {R"({"reset":true,"weight":1})", "'reset' goes alone"},
        {R"({"reset":"yes"})", "'reset' must be true or false"},
        {R"([1])", "is not a JSON object"},
        {R"({"state")", "is not JSON"},
    };
    for (const auto& [body, message] : cases) {
        const auto response = post("/api/v1/upstreams/web/backends/a", body);
        EXPECT_EQ(response.result_int(), 400U) << body;
        EXPECT_NE(response.body().find(message), std::string::npos) << body << response.body();
    }
    EXPECT_EQ(post("/api/v1/upstreams/web/pause", R"({"max":"soon"})").result_int(), 400U);
    EXPECT_EQ(post("/api/v1/upstreams/web/pause", R"({"max":"never"})").result_int(), 400U);
    EXPECT_EQ(post("/api/v1/upstreams/web/backends/a/kill", R"({"share":1.5})").result_int(), 400U);
    EXPECT_EQ(post("/api/v1/sessions/12/kill").result_int(), 400U);
    EXPECT_EQ(post("/api/v1/listeners/in/split").result_int(), 400U);
    EXPECT_TRUE(operations.done.empty());
}

TEST_F(AdminApi, M4_deep_nesting_is_a_mistake_like_any_other) {
    EXPECT_EQ(post("/api/v1/drain", std::string(100'000, '[')).result_int(), 400U);
    std::string object;
    for (int i = 0; i < 10'000; ++i) object += R"({"a":)";
    EXPECT_EQ(post("/api/v1/drain", object).result_int(), 400U);
}

TEST_F(AdminApi, what_old_processes_have_not_done_is_told) {
    EXPECT_EQ(post("/api/v1/upstreams/web/resume").body(), "{\"ok\":true}\n");
    operations.notes = {"the old process 7 was not reached"};
    for (const auto& [target, body] : std::map<std::string, std::string>{
             {"/api/v1/upstreams/web/resume", ""},
             {"/api/v1/upstreams/web/pause", ""},
             {"/api/v1/upstreams/web/backends/a", R"({"state":"drain"})"}}) {
        const auto answer = json(post(target, body));
        EXPECT_EQ(answer.at("ok"), true) << target;
        EXPECT_EQ(answer.at("notes").at(0), "the old process 7 was not reached") << target;
    }
    const auto ended = to_json(
        Ending{.sessions = 5, .closing = 4, .old_sessions = 3, .old_closing = 2, .notes = {"one"}});
    EXPECT_EQ(ended.at("old_processes").at("sessions"), 3U);
    EXPECT_EQ(ended.at("old_processes").at("closing"), 2U);
    EXPECT_EQ(ended.at("notes").at(0), "one");
    EXPECT_FALSE(to_json(Ending{.sessions = 5}).as_object().contains("old_processes"));
}

TEST_F(AdminApi, a_refusal_of_the_proxy_is_passed_on) {
    operations.refusal = Refusal{409, "it is not paused", {"since today"}};
    const auto response = post("/api/v1/upstreams/web/resume");
    EXPECT_EQ(response.result_int(), 409U);
    EXPECT_EQ(json(response).at("error"), "it is not paused");
    EXPECT_EQ(json(response).at("details").at(0), "since today");
}

TEST_F(AdminApi, sessions_and_closes_are_filtered) {
    EXPECT_EQ(get("/api/v1/sessions?upstream=web&backend=a&listener=in&source=10.0.0.0/8&older=10m&"
                  "limit=7")
                  .result_int(),
              200U);
    EXPECT_EQ(operations.asked_sessions.upstream, "web");
    EXPECT_EQ(operations.asked_sessions.backend, "a");
    EXPECT_EQ(operations.asked_sessions.listener, "in");
    EXPECT_EQ(operations.asked_sessions.source, *Prefix::parse("10.0.0.0/8"));
    EXPECT_EQ(operations.asked_sessions.older, std::chrono::minutes(10));
    EXPECT_EQ(operations.asked_sessions.limit, 7U);
    EXPECT_EQ(get("/api/v1/sessions?source=nowhere").result_int(), 400U);
    EXPECT_EQ(get("/api/v1/sessions?limit=10001").result_int(), 400U);
    EXPECT_EQ(get("/api/v1/closes?reason=client_reset&upstream=web").result_int(), 200U);
    EXPECT_EQ(operations.asked_closes.reason, CloseReason::client_reset);
    EXPECT_EQ(get("/api/v1/closes?reason=boredom").result_int(), 400U);
    operations.ended = {{{}, R"({"id":"2"})"}, {{}, R"({"id":"1"})"}};
    EXPECT_EQ(get("/api/v1/closes").body(), "[{\"id\":\"2\"},{\"id\":\"1\"}]\n");
}

TEST_F(AdminApi, explain_takes_addresses_of_both_families) {
    EXPECT_EQ(json(get("/api/v1/explain?listener=web&source=10.1.2.3")).at("chosen"), "10.1.2.3:0");
    EXPECT_EQ(json(get("/api/v1/explain?listener=web&source=2001:db8::7")).at("chosen"),
              "[2001:db8::7]:0");
    EXPECT_EQ(get("/api/v1/explain").result_int(), 400U);
    EXPECT_EQ(get("/api/v1/explain?listener=web&source=x").result_int(), 400U);
    EXPECT_EQ(get("/api/v1/explain?listener=none").result_int(), 404U);
}

TEST_F(AdminApi, explain_takes_what_a_client_would_say_in_its_hello) {
    EXPECT_EQ(get("/api/v1/explain?listener=web&sni=A.Example.&alpn=h2,http/1.1").result_int(),
              200U);
    EXPECT_EQ(operations.asked_explain.server_name, "a.example") << "as a hello's name is read";
    EXPECT_EQ(operations.asked_explain.alpn, (std::vector<std::string>{"h2", "http/1.1"}));
    for (const char* name : {"*.example", "a.example:443", "10.0.0.1", "a..example"})
        EXPECT_EQ(get(std::string("/api/v1/explain?listener=web&sni=") + name).result_int(), 400U)
            << name;
}

TEST_F(AdminApi, sessions_tell_the_server_name_where_it_is_known) {
    operations.live.resize(2);
    operations.live.front().server_name = "a.example";
    operations.live.front().activity = proxy::Activity::handshake;
    const auto sessions = json(get("/api/v1/sessions"));
    EXPECT_EQ(sessions.at(0).at("sni"), "a.example");
    EXPECT_EQ(sessions.at(0).at("state"), "handshake");
    EXPECT_TRUE(sessions.at(1).at("sni").is_null());
}

TEST_F(AdminApi, listeners_show_the_certificates_that_they_present) {
    auto& plain = operations.view.listeners.front();
    EXPECT_FALSE(json(get("/api/v1/listeners")).at(0).as_object().contains("certificates"));
    plain.tls = true;
    plain.certificates = {{.owner = "in",
                           .file = "/a.pem",
                           .subject = "CN=a",
                           .names = {"a.example", "*.a.example"},
                           .not_after = WallTime(std::chrono::milliseconds(1'800'000'000'000)),
                           .s_left = 86400.5}};
    EXPECT_EQ(json(get("/api/v1/listeners")).at(0).at("certificates"),
              boost::json::parse(R"([{"file":"/a.pem","subject":"CN=a",
"names":["a.example","*.a.example"],"not_after":"2027-01-15T08:00:00.000Z","s_left":86400.5}])"));
}

TEST_F(AdminApi, events_since_a_number) {
    for (int i = 0; i < 3; ++i)
        operations.events().add({.kind = "check", .detail = std::to_string(i)}, {});
    EXPECT_EQ(json(get("/api/v1/events")).as_array().size(), 3U);
    const auto later = json(get("/api/v1/events?since=2"));
    ASSERT_EQ(later.as_array().size(), 1U);
    EXPECT_EQ(later.at(0).at("seq"), 3);
    EXPECT_EQ(later.at(0).at("detail"), "2");
    EXPECT_TRUE(later.at(0).at("actor").is_null());
}

TEST_F(AdminApi, ready_while_clients_should_come) {
    EXPECT_EQ(get("/readyz").result_int(), 200U);
    operations.view.upstreams.front().eligible = 0;  // all are full: clients queue
    EXPECT_EQ(get("/readyz?upstream=web").result_int(), 200U);
    const auto db = get("/readyz?upstream=db");
    EXPECT_EQ(db.result_int(), 503U);
    EXPECT_NE(db.body().find("upstream db"), std::string::npos);
    EXPECT_EQ(get("/readyz?upstream=none").result_int(), 503U);
    api.configure({.ready_upstreams = {"web", "db"}});
    EXPECT_EQ(get("/readyz").result_int(), 503U);
    api.configure({.ready_upstreams = {"web"}});
    EXPECT_EQ(get("/readyz").result_int(), 200U);

    operations.view.listeners.front().draining = true;
    EXPECT_EQ(get("/readyz").result_int(), 503U);
    EXPECT_EQ(get("/readyz?listener=in").result_int(), 503U);
    operations.view.listeners.front().draining = false;
    operations.view.process.draining = true;
    EXPECT_EQ(get("/readyz?listener=in").result_int(), 503U);
    operations.view.process.draining = false;
    operations.view.process.accepting = false;
    EXPECT_EQ(get("/readyz").result_int(), 503U);
}

TEST_F(AdminApi, ready_while_somebody_is_in_the_role_that_clients_ask_for) {
    auto& listener = operations.view.listeners.front();
    auto& web = operations.view.upstreams.front();
    web.available = 2;
    listener.destinations = {{"web", Role::primary, 0}};
    const auto alone = get("/readyz?listener=in");
    EXPECT_EQ(alone.result_int(), 503U);
    EXPECT_EQ(alone.body(), "listener in: upstream web: no primary is available\n");
    EXPECT_EQ(get("/readyz?upstream=web").body(), "upstream web: no primary is available\n");
    EXPECT_EQ(get("/readyz").result_int(), 200U);
    api.configure({.ready_upstreams = {"web"}});
    EXPECT_EQ(get("/readyz").result_int(), 503U);
    // Some of its clients can be served.
    listener.destinations.push_back({"web", Role::replica, 2});
    for (const char* question : {"/readyz", "/readyz?listener=in", "/readyz?upstream=web"})
        EXPECT_EQ(get(question).result_int(), 200U) << question;
    listener.destinations.back().available = 0;
    for (const char* question : {"/readyz", "/readyz?listener=in", "/readyz?upstream=web"})
        EXPECT_EQ(get(question).result_int(), 503U) << question;
    // What asks for no role is a matter of ready_upstreams.
    api.configure({});
    listener.destinations.back() = {"db", Role::none, 0};
    EXPECT_EQ(get("/readyz?listener=in").result_int(), 200U);
}

TEST_F(AdminApi, what_still_drains_is_told_to_who_has_ended_a_drain) {
    EXPECT_EQ(boost::json::parse(post("/api/v1/undrain").body()),
              boost::json::parse(R"({"ok":true})"));
    operations.view.listeners.front().draining = true;
    EXPECT_EQ(boost::json::parse(post("/api/v1/undrain").body()),
              boost::json::parse(R"({"ok":true,"still_draining":["in"]})"));
}

TEST_F(AdminApi, R11_a_stuck_worker_is_not_alive) {
    operations.view.process.workers = {{.id = 0}, {.id = 1}};
    EXPECT_EQ(get("/livez").result_int(), 200U);
    operations.view.process.workers[1].stuck = true;
    operations.view.process.workers[1].silent = std::chrono::milliseconds(2500);
    const auto response = get("/livez");
    EXPECT_EQ(response.result_int(), 503U);
    EXPECT_EQ(response.body(), "worker 1 has not answered for 2.5 s\n");
}

TEST_F(AdminApi, the_dashboard_runs_only_what_bears_its_nonce) {
    const auto one = get("/");
    const auto two = get("/");
    const std::string policy(one["Content-Security-Policy"]);
    EXPECT_NE(policy, std::string(two["Content-Security-Policy"])) << "a nonce is used once";
    EXPECT_NE(policy.find("default-src 'none'"), std::string::npos);
    EXPECT_EQ(policy.find("unsafe"), std::string::npos);
    const auto begin = policy.find("script-src 'nonce-") + 18;
    const std::string nonce = policy.substr(begin, policy.find('\'', begin) - begin);
    EXPECT_EQ(nonce.size(), 32U);
    EXPECT_NE(one.body().find("nonce=\"" + nonce + "\""), std::string::npos);
    EXPECT_EQ(one.body().find("@NONCE@"), std::string::npos);
    std::string page = one.body();
    const std::string name_of_svg = "http://www.w3.org/2000/svg";  // a name, not an address
    for (auto at = page.find(name_of_svg); at != std::string::npos; at = page.find(name_of_svg))
        page.erase(at, name_of_svg.size());
    EXPECT_EQ(page.find("http://"), std::string::npos) << "nothing comes from elsewhere";
    EXPECT_EQ(page.find("https://"), std::string::npos);
}

}  // namespace
}  // namespace penstock::admin
