// What an operator sees, as golden texts.
#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

#include "app/client/answer_view.hpp"
#include "app/client/backend_cells.hpp"
#include "app/client/events_view.hpp"
#include "app/client/explain_view.hpp"
#include "app/client/sessions_view.hpp"
#include "app/client/status_view.hpp"
#include "app/client/text.hpp"
#include "app/client/top_view.hpp"

namespace penstock::app::client {
namespace {

constexpr Canvas plain{};

const json::value& snapshot() {
    static const json::value value = json::parse(R"({
"status": {"version":"1.0.0","pid":71234,"state":"running","uptime_s":1051200,
  "workers":[{"id":0,"connections":700,"busy":0.31,"lag_ms":0.2},{"id":1,"connections":504,"busy":0.29,"lag_ms":0.4}],
  "connections":{"active":1204,"limit":29800,"limit_cause":"descriptor limit 65,536"},
  "last_reload":{"time":"2026-11-28T12:00:00.000Z","ok":true,"errors":[]},"restart_required":["process.workers"]},
"listeners": [
  {"name":"web","bind":["0.0.0.0:8080","[::]:8080"],"upstream":"web","connections":{"active":1204,"limit":20000,"total":512345,"refused":4},
   "rates":{"new_per_s":310.2,"to_backend_bytes_per_s":2.2e6,"to_client_bytes_per_s":8.8e7},"draining":false},
  {"name":"canary","bind":["0.0.0.0:8081"],"upstream":null,"split":{"v1":95,"v2":5},"split_override":"uid 1000",
   "connections":{"active":0,"limit":0,"total":0,"refused":0},
   "rates":{"new_per_s":0,"to_backend_bytes_per_s":0,"to_client_bytes_per_s":0},"draining":true}],
"upstreams": [
  {"name":"web","balance":"p2c","panic":false,"available":2,"connections":{"active":41,"limit":400},"queue":{"length":3,"limit":1024},"held":0,"paused":false,
   "backends":[
    {"name":"b","address":"10.0.0.2:8080","state":"ready","override":{"weight":5,"by":"uid 1000"},"available":true,"excluded_by":null,"why":null,
     "check":{"state":"up","role":"primary","last":{"ok":true,"ms":0.8,"error":null}},"circuit":{"state":"closed"},
     "weight":5,"effective_weight":5,"connections":{"active":41,"limit":200,"warm":2},"failures":{"refused":0,"timeout":0},
     "connect_ms":{"p50":0.2,"p99":1.1},"rates":{"new_per_s":310,"failed_per_s":0,"to_client_bytes_per_s":8.8e7}},
    {"name":"c","address":"10.0.0.3:8080","state":"ready","override":null,"available":true,"excluded_by":null,"why":null,"slow_start_s_left":12,
     "check":{"state":"up","role":"replica","last":{"ok":true,"ms":0.7,"error":null}},"circuit":{"state":"closed"},
     "weight":1,"effective_weight":0.4,"connections":{"active":0,"limit":200,"warm":0},"failures":{"refused":0,"timeout":0},
     "connect_ms":{"p50":null,"p99":null},"rates":{"new_per_s":30,"failed_per_s":10,"to_client_bytes_per_s":0}},
    {"name":"d","address":"10.0.0.4:8080","state":"ready","override":null,"available":false,"excluded_by":"circuit_open","why":"breaker open, 8s left",
     "check":{"state":"up","role":null,"last":{"ok":true,"ms":0.9,"error":null}},"circuit":{"state":"open","cause":"5 x refused","retry_in_s":8.2},
     "weight":1,"effective_weight":1,"connections":{"active":0,"limit":200,"warm":0},"failures":{"refused":5,"timeout":1},
     "connect_ms":{"p50":null,"p99":null},"rates":{"new_per_s":0,"failed_per_s":1,"to_client_bytes_per_s":0}},
    {"name":"e","address":"10.0.0.5:8080","state":"drain","override":{"state":"drain","by":"uid 1000"},"available":false,"excluded_by":"drain","why":null,
     "check":{"state":"down","last":{"ok":false,"ms":2.0,"error":"refused"}},"circuit":{"state":"closed"},
     "weight":1,"effective_weight":1,"connections":{"active":0,"limit":200,"warm":0},"failures":{},
     "connect_ms":{"p50":null,"p99":null},"rates":{"new_per_s":0,"failed_per_s":0,"to_client_bytes_per_s":0}}]},
  {"name":"empty","balance":"random","panic":false,"available":0,"connections":{"active":0,"limit":0},"paused":true,"pause_s_left":42,"held":7,"backends":[]}]
})");
    return value;
}

json::value with_a_backend_that_is_down(bool panic) {
    auto value = snapshot();
    auto& upstream = value.at("upstreams").at(0);
    upstream.at("panic") = panic;
    auto& backend = upstream.at("backends").at(1);
    backend.at("why") = "its check is down: connection refused";
    backend.at("check") = json::parse(
        R"({"state":"down","role":null,"last":{"ok":false,"error":"connection refused"}})");
    return value;
}

TEST(StatusView, says_once_why_a_backend_is_down) {
    const auto screen = status_view(with_a_backend_that_is_down(false), plain);
    const auto first = screen.find("connection refused");
    ASSERT_NE(first, std::string::npos) << screen;
    EXPECT_EQ(screen.find("connection refused", first + 1), std::string::npos) << screen;
}

TEST(StatusView, does_not_call_backends_up_that_are_used_in_panic) {
    const auto screen = status_view(with_a_backend_that_is_down(true), plain);
    EXPECT_NE(screen.find("PANIC, 2 of 4 tried"), std::string::npos) << screen;
    EXPECT_EQ(screen.find("of 4 up"), std::string::npos) << screen;
}

TEST(StatusView, shows_everything_on_one_screen) {
    EXPECT_EQ(
        status_view(snapshot(), plain),
        R"(penstock 1.0.0  pid 71234  running  up 12d4h   1,204 of 29,800 connections (descriptor limit 65,536)
configuration of 2026-11-28 12:00:00
needs a restart: process.workers

WORKER  CONNECTIONS  BUSY      LAG
0               700  31 %  0.20 ms
1               504  29 %  0.40 ms

LISTENER  BIND                     UPSTREAM                  ACTIVE/MAX    TOTAL  REFUSED  NEW/s        IN      OUT  STATE
web       0.0.0.0:8080, [::]:8080  web                     1,204/20,000  512,345        4    310  2.2 MB/s  88 MB/s
canary    0.0.0.0:8081             v1 95, v2 5 (uid 1000)             0        0        0      0     0 B/s    0 B/s  draining

UPSTREAM      BACKEND  ADDRESS        STATE                  CHECK    ROLE       WEIGHT  ACTIVE/MAX  WARM  NEW/s  FAILED  CONNECT p99  NOTE
web p2c                               2 of 4 up                                                                                        3 queued
              b        10.0.0.2:8080  up                     0.80 ms  primary         5      41/200     2    310       0       1.1 ms  weight 5 by uid 1000
              c        10.0.0.3:8080  up, slow start 12s     0.70 ms  replica  0.4 of 1       0/200           30       0            -
              d        10.0.0.4:8080  OPEN 9s                0.90 ms                  1       0/200            0       6            -  breaker open, 8s left
              e        10.0.0.5:8080  drain (uid 1000)       refused                  1       0/200            0       0            -
empty random                          paused 42s, 0 of 0 up                                                                            7 held
)");
}

TEST(StatusView, nothing_exceeds_the_terminal) {
    for (const std::size_t width : {20U, 40U, 80U, 132U}) {
        const auto text = status_view(snapshot(), {.width = width});
        for (std::size_t at = 0; at < text.size();) {
            const auto end = text.find('\n', at);
            EXPECT_LE(display_width(std::string_view(text).substr(at, end - at)), width);
            at = end + 1;
        }
    }
}

TEST(StatusView, an_answer_of_another_version_is_shown_as_far_as_it_goes) {
    EXPECT_EQ(
        status_view(json::parse(R"({"status":{"version":7},"listeners":{},"upstreams":3})"), plain),
        "penstock 7  pid -  running  up -   - of - connections\n");
    EXPECT_EQ(status_view(json::value(), plain),
              "penstock ?  pid -  running  up -   - of - connections\n");
}

TEST(StatusView, a_failed_reload_stands_out) {
    const auto text = status_view(
        json::parse(R"({"status":{"last_reload":{"time":"2026-11-28T12:00:00Z","ok":false,)"
                    R"("errors":[{"file":"a.toml","message":"unknown key"},"another"]}}})"),
        plain);
    EXPECT_TRUE(text.contains("reload of 2026-11-28 12:00:00 failed")) << text;
    EXPECT_TRUE(text.contains("  unknown key\n  another\n")) << text;
}

TEST(StatusView, old_processes_are_listed_with_what_they_still_have) {
    const auto text = status_view(json::parse(R"({"status":{"old_processes":[
{"pid":14600,"version":"1.0.0","connections":1204,"s_left":290},
{"pid":14500,"version":"0.9.0","connections":1,"s_left":null}]}})"),
                                  plain);
    EXPECT_TRUE(
        text.contains("\nold process 14600 (1.0.0): 1,204 connections, ends in 4m50s\n"
                      "old process 14500 (0.9.0): 1 connection\n"))
        << text;
}

TEST(StatusView, warns_of_certificates_that_end_within_three_weeks) {
    const auto text =
        status_view(json::parse(R"({"status":{},"listeners":[{"name":"in","certificates":[
{"file":"/far.pem","not_after":"2027-03-01T00:00:00.000Z","s_left":1814401},
{"file":"/near.pem","not_after":"2026-12-19T12:00:00.000Z","s_left":1728000},
{"file":"/late.pem","not_after":"2026-11-01T00:00:00.000Z","s_left":-5}]}]})"),
                    plain);
    EXPECT_FALSE(text.contains("far.pem")) << text;
    EXPECT_TRUE(
        text.contains("listener in: certificate /near.pem expires in 20d (2026-12-19 12:00:00)\n"
                      "listener in: certificate /late.pem has expired (2026-11-01 00:00:00)\n"))
        << text;
}

TEST(StatusView, what_no_row_says_stands_below_the_first_line) {
    const auto text = status_view(json::parse(R"({"status":{
"workers":[{"id":0,"stuck":false},{"id":1,"stuck":true}],"memory":{"overload":true},
"sandbox":{"missing":["Landlock: the kernel has none"]}},
"upstreams":[{"name":"disc","backends":[],"sources":[{"what":"file /a","last_error":null},
 {"what":"dns web.internal","last_error":"Timeout while contacting DNS servers"}]}]})"),
                                  plain);
    EXPECT_TRUE(
        text.contains("\nworker 1 stands still, and so do its connections\n"
                      "memory is short: new connections are refused\n"
                      "sandbox: Landlock: the kernel has none\n"
                      "upstream disc: dns web.internal: Timeout while contacting DNS "
                      "servers\n"))
        << text;
}

TEST(StatusView, a_role_conflict_is_told_of_the_upstream_and_of_the_disputed_one) {
    const auto text = status_view(json::parse(R"({"upstreams":[{"name":"pg","role_conflict":true,
"available":2,"backends":[
 {"name":"r1","check":{"state":"up","role":null,
  "dispute":"says that it is primary; r2's newer claim is believed"}},
 {"name":"r2","check":{"state":"up","role":"primary","dispute":null}}]}]})"),
                                  plain);
    EXPECT_TRUE(text.contains("ROLE CONFLICT, 2 of 2 up")) << text;
    EXPECT_TRUE(text.contains("disputed")) << text;
    EXPECT_TRUE(text.contains("says that it is primary; r2's newer claim is believed")) << text;
}

struct StateCase {
    const char* backend;
    const char* text;
    Style style;
};

TEST(BackendState, is_the_word_that_matters_most) {
    constexpr StateCase cases[] = {
        {R"({"state":"maintenance","check":{"state":"down"}})", "maintenance", Style::warning},
        {R"({"state":"drain","override":{"by":"ops.token"}})", "drain (ops.token)", Style::warning},
        {R"({"circuit":{"state":"open","retry_in_s":8.2},"check":{"state":"up"}})", "OPEN 9s",
         Style::bad},
        {R"({"circuit":{"state":"half_open"}})", "half-open", Style::warning},
        {R"({"check":{"state":"down"},"excluded_by":"down"})", "down", Style::bad},
        {R"({"check":{"state":"up"},"excluded_by":"role"})", "role", Style::warning},
        {R"({"check":{"state":"up"},"slow_start_s_left":12})", "up, slow start 12s", Style::good},
        {R"({"check":{"state":"up"}})", "up", Style::good},
        {R"({"check":{"state":"unknown"},"available":true})", "ready", Style::plain},
        {R"({"check":{"state":"unknown"},"available":false})", "not available", Style::bad},
        {R"({})", "ready", Style::plain}};
    for (const auto& [backend, text, style] : cases) {
        const auto cell = backend_state(json::parse(backend));
        EXPECT_EQ(cell.text, text) << backend;
        EXPECT_EQ(cell.style, style) << backend;
    }
}

TEST(SessionsView, one_a_line) {
    const auto sessions = json::parse(R"([
{"id":"00ab","listener":"web","worker":0,"client":"203.0.113.9:5123","upstream":"web","backend":"a","state":"relaying","age_s":192,"idle_s":0.1,"bytes":{"to_backend":1500,"to_client":88000000},"sni":null},
{"id":"00ac","listener":"web","worker":1,"client":"unix:","upstream":"web","backend":null,"state":"queued","age_s":0.5,"idle_s":0.5,"bytes":{"to_backend":0,"to_client":0},"sni":"a.example"}])");
    EXPECT_EQ(
        sessions_view(sessions, 1000, plain),
        R"(ID    LISTENER  CLIENT            BACKEND  STATE       AGE  IDLE      IN    OUT  SNI
00ab  web       203.0.113.9:5123  web/a    relaying  3m12s  0.1s  1.5 kB  88 MB
00ac  web       unix:             web      queued     0.5s  0.5s     0 B    0 B  a.example
2 sessions
)");
    EXPECT_TRUE(
        sessions_view(sessions, 2, plain).ends_with("2 sessions, and maybe more: --limit\n"));
    EXPECT_EQ(sessions_view(json::array(), 1000, plain), "no sessions\n");
}

TEST(SessionsView, those_of_an_old_process_are_told_apart) {
    const auto text = sessions_view(
        json::parse(R"([{"id":"1","listener":"web","worker":0,"client":"a","state":"relaying"},
{"id":"2","listener":"web","worker":"old-4600","client":"b","state":"relaying"}])"),
        1000, plain);
    EXPECT_EQ(text, R"(ID  LISTENER  CLIENT  BACKEND  STATE     AGE  IDLE  IN  OUT  PROCESS
1   web       a       -        relaying    -     -   -    -
2   web       b       -        relaying    -     -   -    -  old-4600
2 sessions
)");
}

TEST(ClosesView, shows_reason_and_cause) {
    EXPECT_EQ(
        closes_view(json::parse(R"([
{"event":"close","time":"2026-11-28T12:01:07.123Z","id":"00","listener":"web","client":"203.0.113.9:5123","upstream":"web",
 "attempts":[{"backend":"a","address":"10.0.0.1:80","error":"refused","ms":1},{"backend":"b","error":"timeout","ms":4000}],
 "duration_ms":4010.5,"bytes_to_backend":0,"bytes_to_client":0,"closed_by":"proxy","reason":"connect_failed","class":"backend"},
{"event":"close","time":"2026-11-28T12:01:06.000Z","id":"01","listener":"web","client":"203.0.113.9:5122","upstream":"web","backend":"a",
 "attempts":[{"backend":"a","address":"10.0.0.1:80","ms":1}],"duration_ms":61000,"bytes_to_backend":10,"bytes_to_client":2048,
 "closed_by":"client","reason":"client_reset","class":"client","detail":"ECONNRESET"}])"),
                    plain),
        R"(ACCEPTED (UTC)       LISTENER  CLIENT            BACKEND  REASON          LASTED    IN   OUT  DETAIL
2026-11-28 12:01:07  web       203.0.113.9:5123  web      connect_failed      4s   0 B   0 B  a: refused, b: timeout
2026-11-28 12:01:06  web       203.0.113.9:5122  web/a    client_reset      1m1s  10 B  2 kB  ECONNRESET
)");
}

TEST(ExplainView, every_candidate_with_its_score_or_its_exclusion) {
    EXPECT_EQ(
        explain_view(
            json::parse(
                R"j({"listener":"web","route":"2","condition":"sni *.example.com","tls":"passthrough","upstream":"web","balance":"p2c","chosen":"b","note":null,
"candidates":[{"backend":"b","address":"10.0.0.2:8080","active":41,"weight":1,"score":42.0,"excluded_by":null,"note":null},
{"backend":"c","address":"10.0.0.3:8080","active":55,"weight":0.4,"score":140.0,"excluded_by":null,"note":"slow start, 12s of 30s"},
{"backend":"d","address":"10.0.0.4:8080","active":0,"weight":1,"score":null,"excluded_by":"circuit_open","note":"8s left"}],
"limits":[{"name":"max_connections_per_source","used":3,"limit":10},{"name":"max_connections","used":20000,"limit":20000}]})j"),
            plain),
        R"(listener web -> route 2 (sni *.example.com) -> upstream web, p2c, TLS passes through
   BACKEND  ADDRESS        ACTIVE  WEIGHT  SCORE
>  b        10.0.0.2:8080      41       1   42.0  chosen
   c        10.0.0.3:8080      55     0.4  140.0  slow start, 12s of 30s
   d        10.0.0.4:8080       0       1      -  excluded: circuit_open (8s left)
limits: max_connections_per_source 3 of 10, max_connections 20,000 of 20,000
)");
}

TEST(ExplainView, who_takes_turns_is_not_nobody) {
    EXPECT_EQ(
        explain_view(
            json::parse(
                R"j({"listener":"web","route":"upstream","upstream":"web","balance":"round_robin","outcome":"served","chosen":null,"note":"they take turns, by weight",
"candidates":[{"backend":"b","active":1,"weight":1,"score":null,"excluded_by":null,"note":null}],
"limits":[{"name":"accept_rate","used":4,"limit":10,"rate":"10/m"}]})j"),
            plain),
        R"(listener web -> route upstream -> upstream web, round_robin
  BACKEND  ACTIVE  WEIGHT
  b             1       1
they take turns, by weight
limits: accept_rate 4 of 10/m
)");
}

TEST(ExplainView, what_becomes_of_the_client_is_told_where_nobody_is_chosen) {
    EXPECT_EQ(
        explain_view(
            json::parse(
                R"j({"listener":"web","route":"upstream","upstream":"web","balance":"p2c","outcome":"queued","chosen":null,"note":"no available backend has room: the client queues, at most 2s",
"failing_sources":["dns web.internal: Timeout"],
"candidates":[{"backend":"b","active":1,"weight":1,"score":null,"excluded_by":"full","note":"it has its 1 connections"}]})j"),
            plain),
        R"(listener web -> route upstream -> upstream web, p2c
  BACKEND  ACTIVE  WEIGHT
  b             1       1  excluded: full (it has its 1 connections)
no backend can be chosen now
dns web.internal: Timeout
no available backend has room: the client queues, at most 2s
)");
}

TEST(ExplainView, says_when_nobody_serves) {
    EXPECT_EQ(
        explain_view(json::parse(R"({"listener":"web","upstream":null,"chosen":null})"), plain),
        "listener web -> no upstream: the connection is refused\n");
    EXPECT_EQ(
        explain_view(
            json::parse(R"({"listener":"web","upstream":"web","chosen":null,"candidates":[]})"),
            plain),
        "listener web -> upstream web\nthe upstream has no backend\n");
}

TEST(EventsView, one_a_line_with_who_did_it) {
    EXPECT_EQ(events_view(json::parse(R"([
{"seq":1,"time":"2026-11-28T12:01:07Z","kind":"check","upstream":"web","backend":"a","from":"up","to":"down","detail":"refused","actor":null},
{"seq":2,"time":"2026-11-28T12:01:08Z","kind":"override","upstream":"web","backend":"a","to":"drain","detail":"","actor":"uid 1000"},
{"seq":3,"time":"2026-11-28T12:01:09Z","kind":"limit","listener":"web","detail":"max_connections\u0007","actor":null}])"),
                          plain),
              "2026-11-28 12:01:07 web/a check up -> down: refused\n"
              "2026-11-28 12:01:08 web/a override drain (by uid 1000)\n"
              "2026-11-28 12:01:09 web limit max_connections\\x07\n");
    EXPECT_EQ(events_view(json::array(), plain), "no events\n");
}

TEST(AnswerView, says_what_was_done_and_what_the_proxy_adds) {
    EXPECT_EQ(answer_view("listener web: draining", json::parse(R"({"ok":true})"), plain),
              "listener web: draining\n");
    EXPECT_EQ(
        answer_view("done", json::parse(R"({"max_share":0.2,"names":["a","b"],"by":{"a":3}})"),
                    plain),
        "done\nmax share: 0.2\nnames: a, b\nby: a 3\n");
    EXPECT_EQ(
        ending_view("backend web/a", false, json::parse(R"({"sessions":412,"closing":82})"), plain),
        "backend web/a: ending 82 of 412 sessions\n");
    EXPECT_EQ(ending_view("upstream web", true,
                          json::parse(R"({"sessions":412,"closing":82,"backends":{"a":80,"b":2}})"),
                          plain),
              "upstream web: would end 82 of 412 sessions\nBACKEND  WOULD END\na               "
              "80\nb                2\n");
    EXPECT_EQ(ending_view("backend web/a", false,
                          json::parse(R"({"sessions":4,"closing":2,"notes":["1 stays"],
                                          "old_processes":{"sessions":3,"closing":1}})"),
                          plain),
              "backend web/a: ending 2 of 4 sessions, 1 of them in old processes\n"
              "note: 1 stays\n");
    EXPECT_EQ(answer_view("upstream web: resumed",
                          json::parse(R"({"ok":true,"notes":["one","two"]})"), plain),
              "upstream web: resumed\nnote: one\nnote: two\n");
}

TEST(RefusalText, is_the_error_and_its_details) {
    EXPECT_EQ(
        refusal_text(400, R"({"error":"no","details":["a is wrong",{"message":"b too"}]})", "x"),
        "no\n  a is wrong\n  b too");
    EXPECT_TRUE(refusal_text(401, R"({"error":"no"})", "x").contains("--token-file"));
    EXPECT_TRUE(refusal_text(502, "<html>", "h:1").starts_with("h:1 answered with status 502"));
    EXPECT_EQ(refusal_text(400, R"({"error":"\u001b[2J"})", "x"), "\\x1b[2J");
}

std::string screen(const TopModel& model, ScreenSize size) {
    std::string out;
    for (const auto& line : model.lines(size, false)) out += line + '\n';
    return out;
}

TEST(TopView, is_like_the_status_but_shorter) {
    TopModel model;
    model.take_status(snapshot());
    model.take_event(json::parse(
        R"({"seq":9,"time":"2026-11-28T12:01:07Z","kind":"circuit","upstream":"web","backend":"d","to":"open","detail":"5 x refused"})"));
    EXPECT_EQ(
        screen(model, {.columns = 120, .rows = 30}),
        R"(penstock top   up 12d4h   2 workers 30 %   lag p99 0.40 ms   1,204 of 29,800 connections
needs a restart: process.workers
UPSTREAM      BACKEND  STATE                  ACTIVE/MAX  NEW/s  FAIL%  CONNECT p99      OUT
web p2c                2 of 4 up                  41/400    340                      88 MB/s
              b        up                         41/200    310    0.0       1.1 ms  88 MB/s
              c        up, slow start 12s          0/200     30   25.0            -    0 B/s
              d        OPEN 9s                     0/200      0  100.0            -    0 B/s
              e        drain (uid 1000)            0/200      0      -            -    0 B/s
empty random           paused 42s, 0 of 0 up           0      0                            -
12:01:07 web/d circuit open: 5 x refused
)");
}

TEST(TopView, what_needs_somebody_stands_above_the_backends_the_worst_first) {
    TopModel model;
    auto value = snapshot();
    value.at("status").at("workers").at(1).as_object()["stuck"] = true;
    value.at("status").as_object()["old_processes"] =
        json::parse(R"([{"pid":7,"version":"1","connections":1},{"pid":6,"version":"1"}])");
    model.take_status(value);
    const auto lines = model.lines({.columns = 120, .rows = 30}, false);
    EXPECT_EQ(lines.at(1), "worker 1 stands still, and so do its connections");
    EXPECT_EQ(lines.at(2), "needs a restart: process.workers");
    EXPECT_EQ(lines.at(3), "old process 7 (1): 1 connection (and 1 more: penstock status)");
    EXPECT_TRUE(lines.at(4).starts_with("UPSTREAM"));
    const auto few = model.lines({.columns = 120, .rows = 10}, false);
    EXPECT_EQ(few.at(1),
              "worker 1 stands still, and so do its connections (and 3 more: penstock status)");
    EXPECT_TRUE(few.at(2).starts_with("UPSTREAM"));
}

TEST(TopView, fits_every_terminal) {
    TopModel model;
    model.take_status(snapshot());
    for (int i = 0; i < 20; ++i)
        model.take_event(json::parse(R"({"kind":"check","upstream":"web","to":"up"})"));
    model.lose("connection refused");
    for (std::size_t rows = 1; rows < 40; ++rows)
        for (const std::size_t columns : {1U, 10U, 40U, 200U}) {
            const auto lines = model.lines({.columns = columns, .rows = rows}, false);
            EXPECT_LE(lines.size(), rows);
            for (const auto& line : lines) EXPECT_LE(display_width(line), columns);
        }
}

TEST(TopView, scrolls_what_does_not_fit_and_keeps_the_titles) {
    TopModel model;
    model.take_status(snapshot());
    const ScreenSize small{.columns = 120, .rows = 5};
    EXPECT_TRUE(model.lines(small, false).at(3).starts_with("web p2c"));
    model.scroll(2);
    EXPECT_TRUE(model.lines(small, false).at(2).starts_with("UPSTREAM"));
    EXPECT_TRUE(model.lines(small, false).at(3).contains("  c  "));
    model.scroll(1000);
    EXPECT_TRUE(model.lines(small, false).back().starts_with("empty")) << "the end stays in view";
    model.scroll(-1000);
    EXPECT_TRUE(model.lines(small, false).at(3).starts_with("web p2c"));
}

TEST(TopView, tells_a_lost_connection_and_a_restart) {
    TopModel model;
    const ScreenSize size{.columns = 120, .rows = 30};
    EXPECT_TRUE(screen(model, size).contains("waiting for the first figures"));
    model.take_status(snapshot());
    model.lose("gone");
    EXPECT_TRUE(screen(model, size).contains("NOT CONNECTED, these figures are old: gone"));
    EXPECT_TRUE(screen(model, size).contains("1,204 of 29,800"));
    model.take_status(snapshot());
    EXPECT_FALSE(screen(model, size).contains("NOT CONNECTED"));
    EXPECT_FALSE(screen(model, size).contains("restarted")) << "it was the same process";
    auto other = snapshot();
    other.at("status").at("pid") = 99;
    model.take_status(other);
    EXPECT_TRUE(screen(model, size).contains("the proxy was restarted pid 71234 -> 99"));
    other.at("status").at("pid") = 100;
    other.at("status").as_object()["old_processes"] = json::parse(R"([{"pid":99}])");
    model.take_status(other);
    EXPECT_TRUE(screen(model, size).contains("the proxy was upgraded pid 99 -> 100"));
    other.at("status").at("pid") = 101;
    other.at("status").at("old_processes").as_array().clear();
    other.at("status").as_object()["took_over_from"] = 100;  // it had no sessions, and is gone
    model.take_status(other);
    EXPECT_TRUE(screen(model, size).contains("the proxy was upgraded pid 100 -> 101"));
}

}  // namespace
}  // namespace penstock::app::client
