// Plan, reload and upgrade: what is asked for, and how the answers look.
#include <gtest/gtest.h>

#include "tests/unit/admin/api_fixture.hpp"

namespace penstock::admin {
namespace {

namespace http = boost::beast::http;
using Op = PlannedChange::Op;

config::Diagnostic problem(config::Severity severity, std::string message, std::uint32_t line = 0,
                           std::uint32_t column = 0, std::uint32_t length = 0) {
    config::Diagnostic made;
    made.severity = severity;
    made.file = "/etc/p.toml";
    made.line = line;
    made.column = column;
    made.length = length;
    made.message = std::move(message);
    return made;
}

class AdminApiReload : public test::AdminApi {
protected:
    using Severity = config::Severity;

    void find_changes() {
        operations.planned = {
            .digest = "7f3a91",
            .changes = {{.op = Op::change,
                         .what = "upstream web",
                         .key = "connect_timeout",
                         .from = "4s",
                         .to = "1s",
                         .effect = "new connections only"},
                        {.op = Op::remove,
                         .what = "upstream web backend a",
                         .sessions = 412,
                         .balance = "maglev"}},
            .draining = 412,
            .problems = {problem(Severity::warning, "no health check", 40, 1, 12)}};
    }
    void find_mistakes() {
        auto unknown = problem(Severity::error, "unknown key", 31, 2, 4);
        unknown.related = {problem(Severity::note, "first given here", 1, 1, 4)};
        operations.planned = {};
        operations.planned.problems = {unknown, problem(Severity::error, "no listener"),
                                       problem(Severity::warning, "a warning")};
    }
};

TEST_F(AdminApiReload, what_only_the_sandbox_forbids_is_no_mistake) {
    operations.planned.problems = {problem(Severity::error, "the sandbox does not let it")};
    operations.planned.beyond_sandbox = true;
    for (const char* target : {"/api/v1/plan", "/api/v1/reload"}) {
        const auto response = post(target);
        EXPECT_EQ(response.result_int(), 409U) << target;
        const auto body = json(response);
        EXPECT_EQ(body.at("beyond_sandbox"), true) << target;
        EXPECT_EQ(body.at("details"),
                  boost::json::parse(R"(["/etc/p.toml: the sandbox does not let it"])"));
        EXPECT_TRUE(body.at("error").as_string().starts_with("the configuration is good, but "));
    }
}

TEST_F(AdminApiReload, a_plan_has_its_changes_and_its_digest) {
    find_changes();
    const auto response = post("/api/v1/plan");
    EXPECT_EQ(response.result_int(), 200U);
    EXPECT_EQ(json(response), boost::json::parse(R"({"digest":"7f3a91","changes":[
{"op":"change","what":"upstream web","key":"connect_timeout","from":"4s","to":"1s","effect":"new connections only","sessions":0},
{"op":"remove","what":"upstream web backend a","key":null,"from":null,"to":null,"effect":null,"sessions":412,"balance":"maglev"}],
"sessions":{"closed_now":0,"draining":412},"errors":[],
"warnings":[{"file":"/etc/p.toml","line":40,"column":1,"length":12,"message":"no health check"}]})"));
    EXPECT_TRUE(operations.done.empty()) << "a plan changes nothing";
}

TEST_F(AdminApiReload, each_kind_of_change_has_its_word) {
    for (const Op op : {Op::add, Op::remove, Op::change, Op::restart, Op::kept_override})
        operations.planned.changes.push_back({.op = op});
    const auto body = json(post("/api/v1/plan"));
    std::string words;
    for (const auto& change : body.at("changes").as_array())
        words += std::string(change.at("op").as_string()) + " ";
    EXPECT_EQ(words, "add remove change restart kept_override ");
}

TEST_F(AdminApiReload, a_plan_without_changes_lists_none) {
    const auto body = json(post("/api/v1/plan"));
    EXPECT_EQ(body.at("changes"), boost::json::array());
    EXPECT_EQ(body.at("errors"), boost::json::array());
    EXPECT_TRUE(body.at("digest").is_null());
}

TEST_F(AdminApiReload, without_a_body_the_plan_is_about_the_file_on_disk) {
    operations.asked_plan.text = "none yet";
    post("/api/v1/plan", "", "application/json");
    EXPECT_EQ(operations.asked_plan.text, std::nullopt);
    EXPECT_EQ(operations.asked_plan.file, "");
}

TEST_F(AdminApiReload, a_plan_takes_toml_as_it_is) {
    const std::string text = "# a \"comment\"\n[process]\n";
    for (const char* type : {"application/toml", "", "application/x-www-form-urlencoded"}) {
        operations.asked_plan = {};
        EXPECT_EQ(post("/api/v1/plan", text, type).result_int(), 200U) << type;
        EXPECT_EQ(operations.asked_plan.text, text);
        EXPECT_EQ(operations.asked_plan.file, "") << "as if it were the proxy's own";
    }
    EXPECT_EQ(post("/api/v1/plan?file=/etc/new%20one.toml", text).result_int(), 200U);
    EXPECT_EQ(operations.asked_plan.file, "/etc/new one.toml");
}

TEST_F(AdminApiReload, an_empty_file_is_a_text_and_not_the_file_on_disk) {
    EXPECT_EQ(post("/api/v1/plan?file=/tmp/empty.toml").result_int(), 200U);
    EXPECT_EQ(operations.asked_plan.text, "");
    EXPECT_EQ(operations.asked_plan.file, "/tmp/empty.toml");
}

TEST_F(AdminApiReload, what_a_plan_cannot_take_is_refused) {
    for (const char* type : {"application/json", "application/json; charset=utf-8"}) {
        const auto response = post("/api/v1/plan", "{}", type);
        EXPECT_EQ(response.result_int(), 415U) << type;
        EXPECT_TRUE(response.body().contains("TOML")) << response.body();
    }
    const auto relative = post("/api/v1/plan?file=new.toml", "x");
    EXPECT_EQ(relative.result_int(), 400U);
    EXPECT_TRUE(relative.body().contains("'file' must be an absolute path"));
    EXPECT_EQ(post("/api/v1/plan?file=", "x").result_int(), 400U);
    EXPECT_EQ(post("/api/v1/plan?expect=7f3a91", "x").result_int(), 400U);
    EXPECT_EQ(operations.asked_plan.text, std::nullopt) << "nobody was asked";
}

TEST_F(AdminApiReload, mistakes_are_listed_with_their_place) {
    find_mistakes();
    const auto response = post("/api/v1/plan", "x");
    EXPECT_EQ(response.result_int(), 422U);
    EXPECT_EQ(json(response), boost::json::parse(
                                  R"({"error":"the configuration has 2 errors",
"details":["/etc/p.toml:31:2: unknown key","/etc/p.toml: no listener"],
"digest":null,"changes":[],"sessions":{"closed_now":0,"draining":0},
"errors":[{"file":"/etc/p.toml","line":31,"column":2,"length":4,"message":"unknown key",
  "related":[{"file":"/etc/p.toml","line":1,"column":1,"length":4,"message":"first given here"}]},
 {"file":"/etc/p.toml","line":0,"column":0,"length":0,"message":"no listener"}],
"warnings":[{"file":"/etc/p.toml","line":0,"column":0,"length":0,"message":"a warning"}]})"));
}

TEST_F(AdminApiReload, a_reload_tells_what_it_has_changed) {
    find_changes();
    const auto response = post("/api/v1/reload");
    EXPECT_EQ(response.result_int(), 200U);
    const auto body = json(response);
    EXPECT_EQ(body.at("applied"), true);
    EXPECT_EQ(body.at("changes").as_array().size(), 2U);
    EXPECT_EQ(body.at("digest"), "7f3a91");
    EXPECT_EQ(operations.done.back(), "reload '' by uid 7");
    EXPECT_EQ(post("/api/v1/reload", R"({"expect":"7f3a91"})").result_int(), 200U);
    EXPECT_EQ(operations.done.back(), "reload '7f3a91' by uid 7");
}

TEST_F(AdminApiReload, an_invalid_configuration_changes_nothing) {
    find_mistakes();
    const auto response = post("/api/v1/reload");
    EXPECT_EQ(response.result_int(), 422U);
    const auto body = json(response);
    EXPECT_EQ(body.at("applied"), false);
    EXPECT_EQ(body.at("error"), "the configuration has 2 errors; nothing has changed");
    EXPECT_EQ(body.at("errors").at(0).at("line"), 31);
}

TEST_F(AdminApiReload, what_could_not_be_done_is_a_conflict_with_its_plan) {
    find_changes();
    operations.reload_error = "listener web: port 80 is taken";
    const auto response = post("/api/v1/reload");
    EXPECT_EQ(response.result_int(), 409U);
    const auto body = json(response);
    EXPECT_EQ(body.at("applied"), false);
    EXPECT_EQ(body.at("error"), "listener web: port 80 is taken");
    EXPECT_EQ(body.at("changes").as_array().size(), 2U);
    EXPECT_EQ(body.at("errors"), boost::json::array());
    EXPECT_EQ(body.at("warnings").as_array().size(), 1U);
}

TEST_F(AdminApiReload, a_digest_that_was_left_empty_does_not_mean_any) {
    for (const char* body :
         {R"({"expect":""})", R"({"expect":7})", R"({"expct":"7f3a91"})", "[reload]"})
        EXPECT_EQ(post("/api/v1/reload", body).result_int(), 400U) << body;
    EXPECT_TRUE(operations.done.empty());
}

TEST_F(AdminApiReload, an_upgrade_names_both_processes) {
    operations.view.process.pid = 4600;
    const auto response = post("/api/v1/upgrade");
    EXPECT_EQ(response.result_int(), 200U);
    EXPECT_EQ(json(response),
              boost::json::parse(R"({"pid":4711,"version":"1.1.0","old_pid":4600,"sessions":12})"));
    EXPECT_EQ(operations.done, std::vector<std::string>{"upgrade by uid 7"});
    EXPECT_EQ(post("/api/v1/upgrade", R"({"now":true})").result_int(), 400U);
    EXPECT_EQ(operations.done.size(), 1U);
}

TEST_F(AdminApiReload, refusals_of_the_proxy_are_passed_on) {
    operations.refusal = Refusal{409, "the new process ended with status 2"};
    for (const char* page : {"/api/v1/plan", "/api/v1/reload", "/api/v1/upgrade"}) {
        const auto response = post(page);
        EXPECT_EQ(response.result_int(), 409U) << page;
        EXPECT_EQ(json(response).at("error"), "the new process ended with status 2");
    }
}

TEST_F(AdminApiReload, all_of_it_needs_full_access) {
    config::AdminListener reading;
    reading.access = config::AdminAccess::read;
    rules = AccessRules(reading, {}, "");
    for (const char* page : {"/api/v1/plan", "/api/v1/reload", "/api/v1/upgrade"})
        EXPECT_EQ(post(page).result_int(), 403U) << page;
    EXPECT_TRUE(operations.done.empty());
}

TEST_F(AdminApiReload, only_who_may_plan_may_send_much) {
    const HttpRequest plan(http::verb::post, "/api/v1/plan?file=/x", 11);
    EXPECT_TRUE(api.brings_configuration(plan, caller, rules));
    for (const auto& [method, page] : {std::pair{http::verb::get, "/api/v1/plan"},
                                       {http::verb::post, "/api/v1/reload"},
                                       {http::verb::post, "/api/v1/plans"},
                                       {http::verb::post, "/"}})
        EXPECT_FALSE(api.brings_configuration({method, page, 11}, caller, rules)) << page;
    config::AdminListener reading;
    reading.access = config::AdminAccess::read;
    EXPECT_FALSE(api.brings_configuration(plan, caller, AccessRules(reading, {}, "")));
}

TEST_F(AdminApiReload, status_tells_of_the_last_reload_and_of_old_processes) {
    auto& process = operations.view.process;
    process.last_reload = {.time = WallTime(std::chrono::seconds(1'700'000'000)),
                           .ok = false,
                           .errors = {"/etc/p.toml:31:1: unknown key"}};
    process.restart_required = {"process.workers"};
    process.old_processes = {{.pid = 4600, .version = "1.0.0", .connections = 12, .s_left = 290.5},
                             {.pid = 4500, .version = "0.9.0", .connections = 1}};
    const auto body = json(get("/api/v1/status"));
    EXPECT_EQ(body.at("last_reload"), boost::json::parse(R"({"time":"2023-11-14T22:13:20.000Z",
"ok":false,"errors":["/etc/p.toml:31:1: unknown key"]})"));
    EXPECT_EQ(body.at("restart_required"), boost::json::array({"process.workers"}));
    EXPECT_EQ(body.at("old_processes"), boost::json::parse(R"([
{"pid":4600,"version":"1.0.0","connections":12,"s_left":290.5},
{"pid":4500,"version":"0.9.0","connections":1,"s_left":null}])"));
    EXPECT_EQ(body.at("state"), "running");
    process.draining = true;
    EXPECT_EQ(json(get("/api/v1/status")).at("state"), "draining");
}

}  // namespace
}  // namespace penstock::admin
