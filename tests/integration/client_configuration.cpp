// `plan`, `reload` and `upgrade` against a scripted proxy: what they ask, print, and how they end.
#include <gtest/gtest.h>

#include "tests/integration/api_server.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/socket.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {
namespace {

constexpr const char* changes_body =
    R"({"digest":"7f3a91","changes":[{"op":"change","what":"upstream web","key":"connect_timeout","from":"4s","to":"1s","effect":"new connections only","sessions":0}],)"
    R"("sessions":{"closed_now":0,"draining":412},"errors":[],"warnings":[]})";
constexpr const char* nothing_body =
    R"({"digest":"000000","changes":[],"sessions":{"closed_now":0,"draining":0},"errors":[],"warnings":[]})";

std::string mistake_in(const std::string& file) {
    return R"({"error":"the configuration has 1 error","details":[],"digest":null,"changes":[],)"
           R"("sessions":{"closed_now":0,"draining":0},"warnings":[],"errors":[{"file":")" +
           file + R"(","line":2,"column":1,"length":7,"message":"unknown key 'wrokers'"}]})";
}

class ClientConfiguration : public ::testing::Test {
protected:
    [[nodiscard]] Finished run(std::vector<std::string> words,
                               const std::vector<std::string>& wrapper = {}) const {
        words.insert(words.end(), {"--admin", server_.address()});
        return run_penstock(words, patience, wrapper);
    }
    [[nodiscard]] ApiServer::Seen last_seen() const {
        const auto all = server_.seen();
        return all.empty() ? ApiServer::Seen{} : all.back();
    }
    /// The request of `plan -c FILE`. The name of a private directory needs nothing but its
    /// slashes encoded.
    [[nodiscard]] static std::string plan_of(const std::string& file) {
        std::string encoded;
        for (const char c : file) encoded += c == '/' ? std::string("%2F") : std::string(1, c);
        return "POST /api/v1/plan?file=" + encoded;
    }

    TempDir directory_;
    ApiServer server_{"unix:" + directory_.path("admin.sock")};
};

TEST_F(ClientConfiguration, plan_shows_what_a_reload_would_change) {
    server_.answer("POST /api/v1/plan", changes_body);
    const auto result = run({"plan"});
    EXPECT_EQ(result.exit_status, 0) << result.errors;
    EXPECT_EQ(result.output,
              "~ upstream web\n"
              "    ~ connect_timeout  4s -> 1s  new connections only\n"
              "0 sessions closed now, 412 draining. Apply with: penstock reload --expect 7f3a91\n");
    EXPECT_EQ(result.errors, "");
    EXPECT_EQ(last_seen().body, "");
    EXPECT_EQ(run({"plan", "--json"}).output, std::string(changes_body) + "\n");
}

TEST_F(ClientConfiguration, only_with_exit_code_changes_are_a_status) {
    server_.answer("POST /api/v1/plan", changes_body);
    EXPECT_EQ(run({"plan", "--exit-code"}).exit_status, 4);
    EXPECT_EQ(run({"plan", "--exit-code", "--json"}).exit_status, 4);
    EXPECT_EQ(run({"plan", "--json"}).exit_status, 0);
    server_.answer("POST /api/v1/plan", nothing_body);
    const auto nothing = run({"plan", "--exit-code"});
    EXPECT_EQ(nothing.exit_status, 0);
    EXPECT_EQ(nothing.output, "no changes: this is the configuration in force\n");
    EXPECT_EQ(run({"plan", "--exit-code", "--json"}).exit_status, 0);
}

TEST_F(ClientConfiguration, plan_sends_a_file_under_its_absolute_path) {
    const std::string text = "[process]\n# \"quoted\"\n";
    const auto file = directory_.write("new.toml", text);
    server_.answer(plan_of(file), changes_body);
    EXPECT_EQ(run({"plan", "-c", file}).exit_status, 0);
    EXPECT_EQ(last_seen().body, text);
    const auto relative =
        run({"plan", "-c", "./new.toml"}, {"env", "--chdir=" + directory_.path().string()});
    EXPECT_EQ(relative.exit_status, 0) << relative.errors;
    EXPECT_EQ(last_seen().request, plan_of(file));
    const auto empty = directory_.write("empty.toml", "");
    server_.answer(plan_of(empty), nothing_body);
    EXPECT_EQ(run({"plan", "-c", empty}).exit_status, 0);
    EXPECT_EQ(last_seen().request, plan_of(empty)) << "an empty file is not the proxy's own";
}

TEST_F(ClientConfiguration, plan_takes_standard_input_in_place_of_the_proxys_file) {
    server_.answer("POST /api/v1/plan", mistake_in("/etc/penstock/penstock.toml"), 422);
    const auto file = directory_.write("new.toml", "[process]\nwrokers = 1\n");
    const std::string command = "exec \"$@\" < " + file;
    const auto result = run({"plan", "-c", "-"}, {"sh", "-c", command, "sh"});
    EXPECT_EQ(result.exit_status, 2);
    EXPECT_EQ(last_seen().request, "POST /api/v1/plan");
    EXPECT_EQ(last_seen().body, "[process]\nwrokers = 1\n");
    EXPECT_TRUE(result.errors.starts_with(
        "/etc/penstock/penstock.toml:2:1: error: unknown key 'wrokers'\npenstock: "))
        << result.errors;
    EXPECT_EQ(run({"plan", "-c", "-"}, {"sh", "-c", "exec \"$@\" < /dev/null", "sh"}).exit_status,
              2)
        << "nothing is not the proxy's own file";
}

TEST_F(ClientConfiguration, mistakes_are_shown_as_check_shows_them_with_status_2) {
    const auto file = directory_.write("new.toml", "[process]\nwrokers = 1\n");
    server_.answer(plan_of(file), mistake_in(file), 422);
    const std::string shown =
        ":2:1: error: unknown key 'wrokers'\n"
        "    2 | wrokers = 1\n"
        "      | ^^^^^^^\n"
        "penstock: the configuration has 1 error\n";
    const auto relative =
        run({"plan", "-c", "new.toml"}, {"env", "--chdir=" + directory_.path().string()});
    EXPECT_EQ(relative.exit_status, 2);
    EXPECT_EQ(relative.output, "");
    EXPECT_EQ(relative.errors, "new.toml" + shown) << "as the user calls it";
    // The proxy's own file, which this user can read as well.
    for (const char* command : {"plan", "reload"}) {
        server_.answer(std::string("POST /api/v1/") + command, mistake_in(file), 422);
        const auto own = run({command});
        EXPECT_EQ(own.exit_status, 2) << command;
        EXPECT_EQ(own.errors, file + shown) << command;
        const auto as_json = run({command, "--json"});
        EXPECT_EQ(as_json.exit_status, 2) << command;
        EXPECT_EQ(as_json.output, mistake_in(file) + "\n") << command;
    }
}

TEST_F(ClientConfiguration, what_only_the_sandbox_forbids_is_status_1) {
    const std::string refusal =
        R"({"error":"the configuration is good, but","beyond_sandbox":true,"errors":[)"
        R"({"file":"/p.toml","line":0,"column":0,"message":"the sandbox does not let it"}]})";
    for (const char* command : {"plan", "reload"}) {
        server_.answer(std::string("POST /api/v1/") + command, refusal, 409);
        const auto result = run({command});
        EXPECT_EQ(result.exit_status, 1) << command;
        EXPECT_TRUE(result.errors.contains("the sandbox does not let it")) << result.errors;
    }
}

TEST_F(ClientConfiguration, files_of_another_machine_are_not_quoted) {
    const auto file = directory_.write("new.toml", "[process]\nwrokers = 1\n");
    ApiServer tcp;
    tcp.answer("POST /api/v1/plan", mistake_in(file), 422);
    const auto result = run_penstock({"plan", "--admin", tcp.address()});
    EXPECT_EQ(result.exit_status, 2);
    EXPECT_FALSE(result.errors.contains('|')) << result.errors;
    tcp.answer(plan_of(file), mistake_in(file), 422);
    EXPECT_TRUE(run_penstock({"plan", "-c", file, "--admin", tcp.address()})
                    .errors.contains("wrokers = 1\n"))
        << "this text was sent from here";
}

TEST_F(ClientConfiguration, warnings_go_to_standard_error_and_change_no_status) {
    const std::string body =
        R"({"digest":"000000","changes":[],"errors":[],"warnings":[{"file":"/x/p.toml","line":0,"column":0,"message":"no checks"}]})";
    server_.answer("POST /api/v1/plan", body);
    server_.answer("POST /api/v1/reload", body);
    for (const char* command : {"plan", "reload"}) {
        const auto result = run({command});
        EXPECT_EQ(result.exit_status, 0);
        EXPECT_EQ(result.errors, "/x/p.toml: warning: no checks\n");
        EXPECT_FALSE(result.output.contains("no checks"));
    }
}

TEST_F(ClientConfiguration, a_file_that_cannot_be_read_is_status_2_and_asks_nobody) {
    const auto result = run({"plan", "-c", directory_.path("missing.toml")});
    EXPECT_EQ(result.exit_status, 2);
    EXPECT_EQ(result.errors, directory_.path("missing.toml") + ": error: there is no such file\n");
    EXPECT_EQ(run({"plan", "-c", directory_.path().string()}).exit_status, 2);
    EXPECT_EQ(run({"plan", "-c", ""}).exit_status, 2);
    EXPECT_EQ(run({"plan", "surplus"}).exit_status, 2);
    EXPECT_EQ(run({"reload", "--expect", ""}).exit_status, 2) << "would mean any";
    EXPECT_EQ(run({"upgrade", "now"}).exit_status, 2);
    EXPECT_TRUE(server_.seen().empty());
}

TEST_F(ClientConfiguration, reload_applies_what_a_plan_showed) {
    server_.answer("POST /api/v1/reload", changes_body);
    const auto result = run({"reload", "--expect", "7f3a91"});
    EXPECT_EQ(result.exit_status, 0) << result.errors;
    EXPECT_EQ(result.output,
              "~ upstream web\n"
              "    ~ connect_timeout  4s -> 1s  new connections only\n"
              "reloaded: 0 sessions closed now, 412 draining\n");
    EXPECT_EQ(last_seen().body, R"({"expect":"7f3a91"})");
    EXPECT_EQ(run({"reload"}).exit_status, 0);
    EXPECT_EQ(last_seen().body, "{}");
    EXPECT_EQ(run({"reload", "--json"}).output, std::string(changes_body) + "\n");
}

TEST_F(ClientConfiguration, what_the_proxy_refuses_is_status_1) {
    server_.answer("POST /api/v1/reload",
                   R"({"error":"the configuration is no longer that of the plan","details":[],)"
                   R"("changes":[],"errors":[],"warnings":[],"applied":false})",
                   409);
    server_.answer("POST /api/v1/upgrade",
                   R"({"error":"the new process ended with status 2","details":[]})", 409);
    const auto reload = run({"reload", "--expect", "7f3a91"});
    EXPECT_EQ(reload.exit_status, 1);
    EXPECT_EQ(reload.errors, "penstock: the configuration is no longer that of the plan\n");
    const auto upgrade = run({"upgrade"});
    EXPECT_EQ(upgrade.exit_status, 1);
    EXPECT_EQ(upgrade.errors, "penstock: the new process ended with status 2\n");
    EXPECT_EQ(upgrade.output, "");
}

TEST_F(ClientConfiguration, upgrade_names_both_processes) {
    const std::string body = R"({"pid":4711,"version":"1.0.0","old_pid":4600,"sessions":12})";
    server_.answer("POST /api/v1/upgrade", body);
    const auto result = run({"upgrade"});
    EXPECT_EQ(result.exit_status, 0) << result.errors;
    EXPECT_EQ(result.output,
              "upgraded: process 4711 (1.0.0) serves; process 4600 goes on with 12 sessions\n");
    EXPECT_EQ(run({"upgrade", "--json"}).output, body + "\n");
}

TEST_F(ClientConfiguration, no_proxy_is_status_3) {
    const ClosedPort closed;
    for (const char* command : {"plan", "reload", "upgrade"})
        EXPECT_EQ(run_penstock({command, "--admin", closed.address.text()}).exit_status, 3)
            << command;
}

}  // namespace
}  // namespace penstock::test
