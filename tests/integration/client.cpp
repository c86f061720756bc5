// The commands that talk to a running proxy, against a scripted one: what they ask, what they
// print, how they end.
#include <gtest/gtest.h>

#include <csignal>

#include "tests/integration/api_server.hpp"
#include "tests/support/echo_server.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/pseudo_terminal.hpp"
#include "tests/support/socket.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {
namespace {

constexpr const char* status_body =
    R"({"version":"9.8.7","pid":41,"state":"running","uptime_s":95,"workers":[{"id":0,"connections":10,"busy":0.31,"lag_ms":0.2}],)"
    R"("connections":{"active":1234,"limit":29800,"limit_cause":"descriptor limit 65536"},"last_reload":null,"restart_required":[]})";
constexpr const char* listeners_body =
    R"([{"name":"web","bind":["0.0.0.0:8080"],"upstream":"app","connections":{"active":3,"limit":0,"total":120,"refused":4},"rates":{"new_per_s":3.1,"to_client_bytes_per_s":1e6},"draining":false}])";
constexpr const char* upstreams_body =
    R"([{"name":"app","balance":"p2c","panic":false,"available":1,"backends":[)"
    R"({"name":"a","address":"10.0.0.1:8080","state":"ready","available":true,"check":{"state":"up"},"circuit":{"state":"closed"},"weight":1,"effective_weight":1.0,"connections":{"active":3,"limit":200,"total":99},"rates":{"new_per_s":1.0}},)"
    R"({"name":"b","address":"10.0.0.2:8080","state":"ready","available":false,"check":{"state":"down","last":{"ok":false,"error":"refused"}},"circuit":{"state":"closed"},"weight":1,"effective_weight":1.0,"connections":{"active":0,"limit":200,"total":5},"rates":{"new_per_s":0}}]}])";

std::string snapshot(const std::string& status = status_body) {
    return R"({"status":)" + status + R"(,"listeners":)" + listeners_body + R"(,"upstreams":)" +
           upstreams_body + "}";
}

class Client : public ::testing::Test {
protected:
    void SetUp() override { server_.answer_status(status_body, listeners_body, upstreams_body); }

    /// `penstock WORDS --admin ADDRESS`.
    [[nodiscard]] Finished run(std::vector<std::string> words) const {
        words.insert(words.end(), {"--admin", server_.address()});
        return run_penstock(words);
    }
    [[nodiscard]] ApiServer::Seen last_seen() const {
        const auto all = server_.seen();
        return all.empty() ? ApiServer::Seen{} : all.back();
    }
    [[nodiscard]] std::vector<std::string> command_line(std::vector<std::string> words) const {
        words.insert(words.begin(), penstock_binary());
        words.insert(words.end(), {"--admin", server_.address()});
        return words;
    }

    TempDir directory_;
    ApiServer server_{"unix:" + directory_.path("admin.sock")};
};

TEST_F(Client, status_shows_the_answers_on_one_screen) {
    const auto result = run({"status"});
    EXPECT_EQ(result.exit_status, 0) << result.errors;
    for (const auto* part :
         {"penstock 9.8.7", "up 1m35s", "1,234 of 29,800 connections", "descriptor limit 65536",
          "0.0.0.0:8080", "app p2c", "1 of 2 up", "10.0.0.2:8080", "refused", "3/200"})
        EXPECT_TRUE(result.output.contains(part)) << part << " is missing in\n" << result.output;
    EXPECT_FALSE(result.output.contains('\x1b')) << "colours into a pipe";
}

TEST_F(Client, ready_tells_by_its_exit_status) {
    server_.answer("GET /readyz", "ready\n");
    server_.answer("GET /livez", "alive\n");
    const auto good = run({"ready"});
    EXPECT_EQ(good.exit_status, 0) << good.errors;
    EXPECT_EQ(good.output, "ready\n");
    server_.answer("GET /readyz", "the process is draining\nlistener web is draining\n", 503);
    const auto bad = run({"ready"});
    EXPECT_EQ(bad.exit_status, 1);
    EXPECT_EQ(bad.output, "the process is draining\nlistener web is draining\n");
    EXPECT_EQ(bad.errors, "");
    const auto alive = run({"ready", "--live"});
    EXPECT_EQ(alive.exit_status, 0) << "draining is no reason to be restarted: " << alive.errors;
    EXPECT_EQ(alive.output, "alive\n");
    server_.answer("GET /livez", "worker 0 has not answered for 2.5 s\n", 503);
    EXPECT_EQ(run({"ready", "--live"}).exit_status, 1);
    server_.answer("GET /readyz?listener=web&upstream=a%2Fb", "ready\n");
    EXPECT_EQ(run({"ready", "-l", "web", "-u", "a/b"}).exit_status, 0);
    EXPECT_EQ(run({"ready", "--live", "-l", "web"}).exit_status, 2);
    EXPECT_EQ(run_penstock({"ready", "--admin", "unix:" + directory_.path("nobody")}).exit_status,
              3);
    server_.answer("GET /readyz", "no such page", 404);
    const auto strange = run({"ready"});
    EXPECT_EQ(strange.exit_status, 1);
    EXPECT_TRUE(strange.errors.contains("404")) << strange.errors;
}

TEST_F(Client, works_over_tcp_with_a_token) {
    ApiServer tcp;
    tcp.answer_status(status_body, listeners_body, upstreams_body);
    const auto file = directory_.write("token", "0123456789abcdef0123456789abcdef\n");
    for (const auto& form :
         {tcp.address(), "http://" + tcp.address(), "http://" + tcp.address() + "/"}) {
        const auto result = run_penstock({"status", "--admin", form, "--token-file", file});
        EXPECT_EQ(result.exit_status, 0) << form << ": " << result.errors;
    }
    const auto seen = tcp.seen();
    ASSERT_EQ(seen.size(), 9U);
    for (const auto& one : seen) {
        EXPECT_EQ(one.authorization, "Bearer 0123456789abcdef0123456789abcdef");
        EXPECT_EQ(one.host, tcp.address());
    }
}

TEST_F(Client, finds_the_default_socket_in_the_runtime_directory) {
    const auto result = run_penstock({"status"}, patience,
                                     {"env", "RUNTIME_DIRECTORY=" + directory_.path().string()});
    EXPECT_EQ(result.exit_status, 0) << result.errors;
    EXPECT_EQ(server_.seen().size(), 3U);
}

TEST_F(Client, json_prints_the_answer_as_it_is) {
    const std::string odd = R"({ "unknown" : [1,  2], "listener":"web" })";
    server_.answer("GET /api/v1/explain?listener=web", odd);
    const auto result = run({"explain", "web", "--json"});
    EXPECT_EQ(result.exit_status, 0) << result.errors;
    EXPECT_EQ(result.output, odd + "\n");
    const auto status = run({"status", "--json"});
    EXPECT_EQ(status.output, snapshot() + "\n");
}

TEST_F(Client, a_refusal_is_status_1_and_told_in_words) {
    server_.answer("POST /api/v1/upstreams/app/backends/x",
                   R"({"error":"upstream app has no backend 'x'","details":["it has a, b"]})", 404);
    const auto result = run({"backend", "app/x", "drain"});
    EXPECT_EQ(result.exit_status, 1);
    EXPECT_EQ(result.output, "");
    EXPECT_EQ(result.errors, "penstock: upstream app has no backend 'x'\n  it has a, b\n");
    const auto json = run({"backend", "app/x", "drain", "--json"});
    EXPECT_EQ(json.exit_status, 1);
    EXPECT_TRUE(json.output.starts_with(R"({"error":"upstream app)")) << json.output;
}

TEST_F(Client, a_missing_token_is_told_with_the_cure) {
    server_.answer("GET /api/v1/status", R"({"error":"a token is needed","details":[]})", 401);
    const auto result = run({"status"});
    EXPECT_EQ(result.exit_status, 1);
    EXPECT_TRUE(result.errors.contains("a token is needed")) << result.errors;
    EXPECT_TRUE(result.errors.contains("--token-file")) << result.errors;
}

TEST_F(Client, another_server_is_recognised) {
    server_.answer("GET /api/v1/closes", "<html>It works!</html>");
    const auto result = run({"closes"});
    EXPECT_EQ(result.exit_status, 1);
    EXPECT_TRUE(result.errors.contains("not JSON")) << result.errors;
    server_.answer("GET /api/v1/closes", "<html>Not found</html>", 404);
    EXPECT_TRUE(run({"closes"}).errors.contains("not as Penstock's admin API does"));
}

TEST_F(Client, no_proxy_is_status_3_with_what_was_tried) {
    const ClosedPort closed;
    const auto tcp = run_penstock({"status", "--admin", closed.address.text()});
    EXPECT_EQ(tcp.exit_status, 3);
    EXPECT_TRUE(tcp.errors.contains(closed.address.text() + ": Connection refused")) << tcp.errors;
    EXPECT_TRUE(tcp.errors.contains("--admin ADDRESS")) << tcp.errors;
    TempDir empty;
    const auto nowhere = run_penstock({"sessions"}, patience,
                                      {"env", "RUNTIME_DIRECTORY=" + empty.path().string(),
                                       "XDG_RUNTIME_DIR=" + empty.path("user")});
    EXPECT_EQ(nowhere.exit_status, 3);
    EXPECT_TRUE(nowhere.errors.contains("unix:" + empty.path("admin.sock"))) << nowhere.errors;
    EXPECT_TRUE(nowhere.errors.contains("unix:" + empty.path("user/penstock/admin.sock")))
        << nowhere.errors;
    EXPECT_EQ(run_penstock({"events", "-f", "--admin", closed.address.text()}).exit_status, 3);
}

TEST_F(Client, wrong_usage_is_status_2_and_asks_nobody) {
    const std::vector<std::vector<std::string>> wrong{
        {"kill"},
        {"kill", "ID", "--backend", "app/a"},
        {"kill", "--backend", "app"},
        {"kill", "--backend", "app/a", "--share", "1.5"},
        {"kill", "--backend", "app/a", "--over", "soon"},
        {"kill", "ID", "--dry-run"},
        {"backend", "app/a"},
        {"backend", "app/a", "sideways"},
        {"backend", "app/a", "weight"},
        {"backend", "app/a", "weight", "-1"},
        {"backend", "app/a", "drain", "5"},
        {"pause"},
        {"split", "web"},
        {"split", "web", "v1"},
        {"split", "web", "v1=1", "v1=2"},
        {"explain"},
        {"sessions", "--older", "10"},
        {"status", "--token-file", directory_.path("missing")},
        {"status", "surplus"}};
    for (const auto& words : wrong) {
        const auto result = run(words);
        EXPECT_EQ(result.exit_status, 2) << ::testing::PrintToString(words);
        EXPECT_NE(result.errors, "") << ::testing::PrintToString(words);
    }
    EXPECT_EQ(run_penstock({"status", "--admin", "1.2.3.4"}).exit_status, 2);
    EXPECT_EQ(run_penstock({"status", "--admin", "https://localhost:1"}).exit_status, 2);
    EXPECT_TRUE(server_.seen().empty());
}

TEST_F(Client, a_word_that_is_no_command_is_named) {
    const auto near = run_penstock({"statsu"});
    EXPECT_EQ(near.exit_status, 2);
    EXPECT_EQ(near.errors, "penstock: unknown command 'statsu'; did you mean 'status'?\n");
    EXPECT_EQ(run_penstock({"help"}).errors,
              "penstock: unknown command 'help'; `penstock --help` lists them\n");
    EXPECT_EQ(run_penstock({}).exit_status, 2);
}

struct Change {
    std::vector<std::string> words;
    std::string request;
    std::string body;
};

TEST_F(Client, each_change_is_the_request_of_the_api) {
    const std::vector<Change> changes{
        {{"kill", "00ab"}, "POST /api/v1/sessions/00ab/kill", "{}"},
        {{"kill", "--backend", "app/10.0.0.1:80/x", "--over", "30s", "--share", "0.5", "--dry-run"},
         "POST /api/v1/upstreams/app/backends/10.0.0.1%3A80%2Fx/kill",
         R"({"over":"30s","share":5E-1,"dry_run":true})"},
        {{"backend", "app/a", "maintenance"},
         "POST /api/v1/upstreams/app/backends/a",
         R"({"state":"maintenance"})"},
        {{"backend", "app/a", "weight", "5"},
         "POST /api/v1/upstreams/app/backends/a",
         R"({"weight":5})"},
        {{"backend", "app/a", "reset"},
         "POST /api/v1/upstreams/app/backends/a",
         R"({"reset":true})"},
        {{"drain"}, "POST /api/v1/drain", "{}"},
        {{"undrain", "web"}, "POST /api/v1/undrain", R"({"listener":"web"})"},
        {{"pause", "app", "--max", "60s"}, "POST /api/v1/upstreams/app/pause", R"({"max":"60s"})"},
        {{"resume", "app"}, "POST /api/v1/upstreams/app/resume", "{}"},
        {{"rebalance", "app", "--over", "10m"},
         "POST /api/v1/upstreams/app/rebalance",
         R"({"over":"10m","dry_run":false})"},
        {{"split", "web", "v1=95", "v2=5"},
         "POST /api/v1/listeners/web/split",
         R"({"v1":95,"v2":5})"}};
    for (const auto& [words, request, body] : changes) {
        server_.answer(request, R"({"sessions":17})");
        const auto result = run(words);
        EXPECT_EQ(result.exit_status, 0) << request << result.errors;
        EXPECT_TRUE(result.output.contains("sessions: 17")) << result.output;
        EXPECT_EQ(last_seen().request, request);
        EXPECT_EQ(last_seen().body, body);
    }
}

TEST_F(Client, events_follow_the_stream_until_the_proxy_ends_it) {
    server_.answer(
        "GET /api/v1/events",
        R"([{"seq":16,"time":"2026-11-28T12:00:00.000Z","kind":"check","upstream":"app","backend":"a","from":"down","to":"up"},)"
        R"({"seq":17,"time":"2026-11-28T12:01:07.000Z","kind":"circuit","upstream":"app","backend":"b","from":"closed","to":"open","detail":"5 x refused"}])");
    ChildProcess child(command_line({"events", "-f"}));
    ASSERT_TRUE(wait_for([&] { return child.output().contains("app/b"); })) << child.errors();
    server_.push("status", snapshot());
    server_.push("event", R"({"seq":17,"kind":"circuit","detail":"seen before"})");
    server_.push("event", R"({"seq":18,"time":"2026-11-28T12:01:09.5Z","kind":"override",)"
                          R"("upstream":"app","to":"drain","actor":"uid 1000"})");
    ASSERT_TRUE(wait_for([&] { return child.output().contains("uid 1000"); })) << child.errors();
    EXPECT_TRUE(child.running());
    server_.end_streams();
    const auto status = child.wait_exit();
    ASSERT_TRUE(status);
    EXPECT_EQ(WEXITSTATUS(*status), 0);
    EXPECT_EQ(child.output(),
              "2026-11-28 12:00:00 app/a check down -> up\n"
              "2026-11-28 12:01:07 app/b circuit closed -> open: 5 x refused\n"
              "2026-11-28 12:01:09 app override drain (by uid 1000)\n");
    EXPECT_TRUE(child.errors().contains("has ended the stream")) << child.errors();
}

TEST_F(Client, events_may_be_followed_from_a_number_on) {
    server_.answer("GET /api/v1/events?since=16", R"([{"seq":17,"kind":"panic"}])");
    ChildProcess child(command_line({"events", "-f", "--since", "16"}));
    ASSERT_TRUE(server_.wait_for_streams(1));
    server_.push("event", R"({"seq":18,"kind":"limit"})");
    ASSERT_TRUE(wait_for([&] { return child.output().contains("limit"); })) << child.errors();
    EXPECT_TRUE(child.output().contains("panic")) << child.output();
    server_.end_streams();
    EXPECT_TRUE(child.wait_exit());
}

TEST_F(Client, a_stream_that_breaks_off_is_a_failure) {
    server_.answer("GET /api/v1/events", "[]");
    ChildProcess child(command_line({"events", "-f"}));
    ASSERT_TRUE(server_.wait_for_streams(1));
    server_.push("event", R"({"seq":1,"kind":"panic"})");
    ASSERT_TRUE(wait_for([&] { return child.output().contains("panic"); })) << child.errors();
    server_.cut_streams();
    const auto status = child.wait_exit();
    ASSERT_TRUE(status);
    EXPECT_EQ(WEXITSTATUS(*status), 1) << child.errors();
}

TEST_F(Client, control_characters_of_the_api_never_reach_the_terminal) {
    server_.answer("GET /api/v1/sessions?limit=1000",
                   R"([{"id":"1","listener":"web","client":"x","sni":"\u001b]0;owned\u0007"}])");
    const auto result = run({"sessions"});
    EXPECT_EQ(result.exit_status, 0) << result.errors;
    EXPECT_TRUE(result.output.contains(R"(\x1b]0;owned\x07)")) << result.output;
    EXPECT_FALSE(result.output.contains('\x1b'));
}

class Top : public Client {
protected:
    /// Runs until the first figures are there.
    [[nodiscard]] std::unique_ptr<TerminalProcess> start() {
        auto top = std::make_unique<TerminalProcess>(command_line({"top"}));
        before_ = top->settings();
        EXPECT_TRUE(server_.wait_for_streams(1)) << top->output();
        server_.push("status", snapshot());
        EXPECT_TRUE(top->shows("1,234 of 29,800 connections")) << top->output();
        return top;
    }
    /// The terminal is as it was before, and the program ended with `status`.
    void expect_restored(TerminalProcess& top, int status) {
        const auto ended = top.wait_exit();
        ASSERT_TRUE(ended) << top.screen().text();
        EXPECT_TRUE(WIFEXITED(*ended));
        EXPECT_EQ(WEXITSTATUS(*ended), status) << top.output();
        EXPECT_FALSE(top.screen().on_other_screen());
        EXPECT_TRUE(top.screen().cursor_visible());
        const auto after = top.settings();
        EXPECT_EQ(after.c_lflag, before_.c_lflag);
        EXPECT_EQ(after.c_iflag, before_.c_iflag);
    }

    termios before_{};
};

TEST_F(Top, draws_what_the_stream_says_and_leaves_with_q) {
    const auto top = start();
    EXPECT_TRUE(top->screen().on_other_screen());
    EXPECT_FALSE(top->screen().cursor_visible());
    EXPECT_TRUE(top->shows("3/200"));
    EXPECT_TRUE(top->shows("down"));
    EXPECT_EQ((top->settings().c_lflag & ECHO), 0U);
    server_.push("event", R"({"seq":18,"time":"2026-11-28T12:01:07Z","kind":"circuit",)"
                          R"("upstream":"app","backend":"a","to":"open","detail":"5 x refused"})");
    EXPECT_TRUE(top->shows("12:01:07 app/a circuit open: 5 x refused")) << top->screen().text();
    top->type("q");
    expect_restored(*top, 0);
}

TEST_F(Top, fills_a_terminal_that_changes_its_size) {
    const auto top = start();
    ASSERT_TRUE(top->screen().line(1).contains("CONNECT p99")) << top->screen().text();
    top->resize(40, 10);
    EXPECT_TRUE(wait_for([&] { return top->screen().line(1).ends_with("…"); }))
        << top->screen().text();
    top->resize(120, 30);
    EXPECT_TRUE(wait_for([&] { return top->screen().line(1).contains("CONNECT p99"); }))
        << top->screen().text();
    top->type("q");
    expect_restored(*top, 0);
}

TEST_F(Top, leaves_in_order_whatever_ends_it) {
    for (const auto* how : {"\x03", "TERM", "INT", "HUP"}) {
        const auto top = start();
        const std::string name = how;
        if (name == "\x03")
            top->type(name);
        else
            top->signal(name == "TERM" ? SIGTERM : name == "INT" ? SIGINT : SIGHUP);
        expect_restored(*top, 0);
        server_.cut_streams();
    }
}

TEST_F(Top, says_that_the_proxy_is_gone_and_comes_back_with_it) {
    const auto path = directory_.path("other.sock");
    auto first = std::make_unique<ApiServer>("unix:" + path);
    TerminalProcess top({penstock_binary(), "top", "--admin", "unix:" + path});
    before_ = top.settings();
    ASSERT_TRUE(first->wait_for_streams(1)) << top.output();
    first->push("status", snapshot());
    ASSERT_TRUE(top.shows("1,234 of 29,800")) << top.output();
    first.reset();
    EXPECT_TRUE(top.shows("NOT CONNECTED")) << top.screen().text();
    EXPECT_TRUE(top.shows("1,234 of 29,800")) << "the last figures are gone";
    EXPECT_TRUE(top.shows("no running proxy reached, trying again")) << top.screen().text();
    ApiServer second("unix:" + path);
    ASSERT_TRUE(second.wait_for_streams(1)) << top.screen().text();
    std::string restarted = status_body;
    restarted.replace(restarted.find("\"pid\":41"), 8, "\"pid\":77");
    second.push("status", snapshot(restarted));
    EXPECT_TRUE(top.shows("the proxy was restarted")) << top.screen().text();
    EXPECT_TRUE(top.shows("pid 41 -> 77")) << top.screen().text();
    EXPECT_FALSE(top.screen().text().contains("NOT CONNECTED")) << top.screen().text();
    top.type("q");
    expect_restored(top, 0);
}

TEST_F(Top, without_a_proxy_or_a_terminal_it_does_not_begin) {
    const ClosedPort closed;
    TerminalProcess top({penstock_binary(), "top", "--admin", closed.address.text()});
    before_ = top.settings();
    expect_restored(top, 3);
    EXPECT_TRUE(top.screen().text().contains("no running proxy reached")) << top.output();
    EXPECT_FALSE(top.output().contains("?1049"));
    const auto piped = run({"top"});
    EXPECT_EQ(piped.exit_status, 2);
    EXPECT_TRUE(piped.errors.contains("needs a terminal")) << piped.errors;
}

TEST_F(Top, a_refused_stream_is_told_in_words) {
    server_.answer("GET /api/v1/stream", R"({"error":"a token is needed","details":[]})", 401);
    TerminalProcess top(command_line({"top"}));
    before_ = top.settings();
    expect_restored(top, 1);
    EXPECT_TRUE(top.screen().text().contains("a token is needed")) << top.output();
}

TEST_F(Client, colours_only_on_a_terminal_that_wants_them) {
    TerminalProcess coloured(command_line({"status"}));
    ASSERT_TRUE(coloured.wait_exit());
    EXPECT_TRUE(coloured.output().contains("\x1b[")) << coloured.output();
    auto words = command_line({"status"});
    words.insert(words.begin(), {"env", "NO_COLOR=1"});
    TerminalProcess plain(words);
    ASSERT_TRUE(plain.wait_exit());
    EXPECT_TRUE(plain.output().contains("10.0.0.1:8080")) << plain.output();
    EXPECT_FALSE(plain.output().contains('\x1b')) << plain.output();
}

/// The same commands against the real thing.
class LiveClient : public ::testing::Test {
protected:
    [[nodiscard]] Finished run(std::vector<std::string> words) const {
        words.insert(words.end(), {"--admin", admin_});
        return run_penstock(words);
    }
    [[nodiscard]] std::string config() const {
        return "[process]\nworkers = 1\n"
               "[[admin.listener]]\nbind = \"" +
               admin_ +
               "\"\n"
               "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\nupstream = \"up\"\n"
               "[[upstream]]\nname = \"up\"\n"
               "[[upstream.backend]]\nname = \"a\"\naddress = \"" +
               echo_.text() + "\"\n[[upstream.backend]]\nname = \"b\"\naddress = \"" +
               other_echo_.text() + "\"\n";
    }

    TempDir directory_;
    std::string admin_ = "unix:" + directory_.path("admin.sock");
    EchoServer echo_;
    EchoServer other_echo_;
    ProxyProcess proxy_{config()};
};

TEST_F(LiveClient, shows_changes_and_resets_a_backend) {
    const auto before = run({"status"});
    ASSERT_EQ(before.exit_status, 0) << before.errors;
    EXPECT_TRUE(before.output.contains("2 of 2 up")) << before.output;
    EXPECT_TRUE(before.output.contains(proxy_.address().text())) << before.output;
    EXPECT_EQ(run({"backend", "up/a", "drain"}).exit_status, 0);
    const auto drained = run({"status"});
    EXPECT_TRUE(drained.output.contains("drain (uid ")) << drained.output;
    EXPECT_TRUE(drained.output.contains("1 of 2 up")) << drained.output;
    const auto explained = run({"explain", "in"});
    EXPECT_TRUE(explained.output.contains(">  b")) << explained.output << explained.errors;
    EXPECT_TRUE(explained.output.contains("excluded: drain")) << explained.output;
    EXPECT_EQ(run({"backend", "up/a", "reset"}).exit_status, 0);
    EXPECT_FALSE(run({"status"}).output.contains("drain"));
    const auto events = run({"events"});
    EXPECT_TRUE(events.output.contains("(by uid ")) << events.output;
    const auto refused = run({"backend", "up/none", "drain"});
    EXPECT_EQ(refused.exit_status, 1);
    EXPECT_TRUE(refused.errors.contains("'none'")) << refused.errors;
}

TEST_F(LiveClient, ends_the_session_that_it_shows) {
    auto client = Socket::connect(proxy_.address());
    ASSERT_TRUE(client && client->send("ping") && client->receive_text(4) == "ping");
    const auto sessions = run({"sessions"});
    ASSERT_TRUE(sessions.output.contains("relaying")) << sessions.output << sessions.errors;
    const auto line = sessions.output.substr(sessions.output.find('\n') + 1);
    EXPECT_EQ(run({"kill", line.substr(0, line.find(' '))}).exit_status, 0);
    EXPECT_EQ(client->wait_end(), End::reset);
    EXPECT_TRUE(wait_for([&] { return run({"closes"}).output.contains("killed"); }));
    EXPECT_EQ(run({"sessions"}).output, "no sessions\n");
}

TEST_F(LiveClient, top_draws_the_real_figures_and_hears_of_the_end) {
    TerminalProcess top({penstock_binary(), "top", "--admin", admin_});
    EXPECT_TRUE(top.shows("2 of 2 up")) << top.screen().text();
    EXPECT_EQ(run({"backend", "up/b", "maintenance"}).exit_status, 0);
    EXPECT_TRUE(top.shows("maintenance (uid ")) << top.screen().text();
    proxy_.stop();
    EXPECT_TRUE(top.shows("NOT CONNECTED")) << top.screen().text();
    top.type("q");
    const auto status = top.wait_exit();
    ASSERT_TRUE(status);
    EXPECT_EQ(WEXITSTATUS(*status), 0);
    EXPECT_EQ(run({"status"}).exit_status, 3);
}

}  // namespace
}  // namespace penstock::test
