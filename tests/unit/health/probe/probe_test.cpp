// Each type of check against servers that behave and that do not: what is said, and that the
// connection is closed.
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/chaos_backend.hpp"
#include "tests/support/rude_server.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/health/probe/probe_runner.hpp"

namespace penstock::health {
namespace {

using namespace std::string_literals;
using config::CheckType;
using test::Manners;
using test::RudeServer;

constexpr auto short_timeout = 150ms;

class ProbeTest : public testing::Test {
protected:
    ProbeResult check(CheckType type, const std::string& address, Duration timeout = long_timeout) {
        config::Upstream upstream = settings;
        upstream.health_check.type = type;
        upstream.health_check.timeout = timeout;
        return runner.run(upstream, target_at(address));
    }

    /// The server gets to see the end of everything that was opened.
    static void expect_left(const RudeServer& server) {
        EXPECT_TRUE(test::wait_for([&] { return server.accepted() > 0 && server.open() == 0; }));
    }

    /// What a check says of a server with these manners, which must see the end of the connection.
    ProbeResult against(CheckType type, Manners manners, Duration timeout = long_timeout) {
        const RudeServer server(std::move(manners));
        ProbeResult result = check(type, server.text(), timeout);
        expect_left(server);
        return result;
    }

    void exchange(std::string send, std::string expect) {
        settings.health_check.exchange = {.send = std::move(send), .expect = std::move(expect)};
    }

    config::Upstream settings;
    ProbeRunner runner;
};

constexpr CheckType all_types[] = {CheckType::tcp, CheckType::tls, CheckType::http,
                                   CheckType::exchange};
constexpr CheckType talkative_types[] = {CheckType::tls, CheckType::http, CheckType::exchange};

void expect_failure(const ProbeResult& result, const std::string& detail) {
    EXPECT_FALSE(result.ok);
    EXPECT_EQ(result.detail, detail);
}

// Connecting.

TEST_F(ProbeTest, EveryTypeSaysThatAPortIsClosed) {
    const test::ClosedPort closed;
    for (const CheckType type : all_types)
        expect_failure(check(type, closed.address.text()), "connection refused");
}

TEST_F(ProbeTest, EveryTypeSaysThatAUnixSocketIsMissing) {
    const test::TempDir directory;
    for (const CheckType type : all_types) {
        expect_failure(check(type, "unix:" + directory.path("none")), "no such file or directory");
        expect_failure(check(type, "unix:@penstock-probe-none"), "connection refused");
    }
}

TEST_F(ProbeTest, EveryTypeEndsByItsDeadlineWhileConnecting) {
    const test::FullBacklog full;
    for (const CheckType type : all_types)
        expect_failure(check(type, full.text(), short_timeout),
                       "time-out after 150 ms while connecting");
}

TEST_F(ProbeTest, EveryTypeEndsByItsDeadlineWhenAUnixSocketsQueueIsFull) {
    const test::TempDir directory;
    const test::FullBacklog full("unix:" + directory.path("full"));
    for (const CheckType type : all_types)
        expect_failure(check(type, full.text(), short_timeout),
                       "time-out after 150 ms while connecting");
}

TEST_F(ProbeTest, UnixSocketWhoseQueueMovesAgainIsConnected) {
    const test::TempDir directory;
    test::FullBacklog full("unix:" + directory.path("full"));
    const auto probe = make_probe(runner.context(), upstream_with(CheckType::tcp), {});
    ProbeResult result;
    runner.start(*probe, target_at(full.text()), long_timeout,
                 [&](ProbeResult ended) { result = std::move(ended); });
    runner.context().poll();
    EXPECT_EQ(runner.running(), 1U);
    const auto drained = full.drain();
    runner.run_all();
    EXPECT_TRUE(result.ok) << result.detail;
}

TEST_F(ProbeTest, TcpIsOkWhateverComesAfterwards) {
    const std::string flood(4096, 'x');
    for (const auto& manners :
         {Manners{}, Manners{.then = Manners::Then::reset}, Manners{.then = Manners::Then::close},
          Manners{.then = Manners::Then::finish},
          Manners{.repeats = flood, .repeats_up_to = 1 << 30}})
        for (int i = 0; i < 20; ++i) {
            const ProbeResult result = against(CheckType::tcp, manners);
            EXPECT_TRUE(result.ok) << result.detail;
            EXPECT_EQ(result.detail, "connected");
        }
}

// The reset is there before anybody has looked at the connection: still, it was accepted.
TEST_F(ProbeTest, TcpIsOkThoughTheResetComesFirst) {
    const RudeServer server({.then = Manners::Then::reset});
    for (const CheckType type : {CheckType::tcp, CheckType::http}) {
        const unsigned before = server.accepted();
        const auto probe = make_probe(runner.context(), upstream_with(type, long_timeout), {});
        ProbeResult result;
        runner.start(*probe, target_at(server.text()), long_timeout,
                     [&](ProbeResult ended) { result = std::move(ended); });
        runner.context().restart();
        runner.context().poll_one();  // connects
        ASSERT_TRUE(test::wait_for([&] { return server.accepted() > before; }));
        ASSERT_TRUE(test::wait_for([&] { return server.open() == 0; }));
        runner.run_all();
        EXPECT_EQ(result.ok, type == CheckType::tcp);
        EXPECT_EQ(result.detail,
                  result.ok ? "connected" : "connection reset by peer while sending the request");
    }
}

TEST_F(ProbeTest, LeavesWithoutAReset) {
    exchange("", "ready");
    const std::string body(10'000, 'x');
    const RudeServer silent({});
    const RudeServer speaks_first({.says = "220 ready\r\n"});
    // More than the check looks at: the rest has come, but nobody has read it.
    const RudeServer says_more({.waits_for_request = true,
                                .says = "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + body});
    for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(check(CheckType::tcp, silent.text()).ok);
        EXPECT_TRUE(check(CheckType::exchange, speaks_first.text()).ok);
        EXPECT_TRUE(check(CheckType::http, says_more.text()).ok);
    }
    for (const auto* server : {&silent, &speaks_first, &says_more}) {
        // A check by TCP may be over before the server knows of it.
        EXPECT_TRUE(test::wait_for([&] { return server->accepted() == 50; }));
        expect_left(*server);
        EXPECT_EQ(server->resets(), 0U);
    }
}

TEST_F(ProbeTest, TcpOverIpv6AndUnixSockets) {
    const test::TempDir directory;
    for (const std::string& address : {"[::1]:0"s, "unix:" + directory.path("socket"),
                                       "unix:@penstock-probe-" + std::to_string(::getpid())}) {
        const RudeServer server({}, address);
        const ProbeResult result = check(CheckType::tcp, server.text());
        EXPECT_TRUE(result.ok) << result.detail;
        expect_left(server);
    }
}

// Servers that do not answer as they should.

TEST_F(ProbeTest, SilentServers) {
    exchange("ping", "pong");
    settings.health_check.http.body_contains = "x";
    for (const auto& [type, doing] :
         {std::pair{CheckType::tls, "the TLS handshake"}, std::pair{CheckType::http, "the answer"},
          std::pair{CheckType::exchange, "the answer"}})
        expect_failure(against(type, Manners{}, short_timeout),
                       "time-out after 150 ms while waiting for "s + doing);
}

TEST_F(ProbeTest, ServersThatCloseAtOnce) {
    exchange("", "pong");
    for (const auto then : {Manners::Then::close, Manners::Then::finish}) {
        expect_failure(against(CheckType::exchange, {.then = then}),
                       "closed by the server without an answer");
        expect_failure(against(CheckType::http, {.waits_for_request = true, .then = then}),
                       "closed by the server without an answer");
        expect_failure(against(CheckType::tls, {.waits_for_request = true, .then = then}),
                       "closed by the server in the TLS handshake");
    }
}

TEST_F(ProbeTest, ServersThatReset) {
    exchange("ping", "pong");
    for (const CheckType type : talkative_types) {
        const ProbeResult late =
            against(type, {.waits_for_request = true, .then = Manners::Then::reset});
        EXPECT_FALSE(late.ok);
        EXPECT_TRUE(late.detail.starts_with("connection reset by peer while waiting for the "))
            << late.detail;
        for (int i = 0; i < 20; ++i) {
            const ProbeResult at_once = against(type, {.then = Manners::Then::reset});
            EXPECT_FALSE(at_once.ok);
            EXPECT_TRUE(at_once.detail.starts_with("connection reset by peer while ") ||
                        at_once.detail.starts_with("broken pipe while "))
                << at_once.detail;
        }
    }
}

TEST_F(ProbeTest, B10SendersWithoutEndAreBounded) {
    exchange("", "pong");
    settings.health_check.http.body_contains = "pong";
    const std::string flood(4096, 'x');
    const std::uint64_t gigabyte = 1 << 30;
    const auto endless = [&](const std::string& begin, const std::string& repeated) {
        return Manners{.says = begin, .repeats = repeated, .repeats_up_to = gigabyte};
    };
    const ProbeResult any = against(CheckType::exchange, endless("", flood));
    EXPECT_TRUE(any.detail.starts_with("first 64 KiB of the answer lacks \"pong\": \"xxx"))
        << any.detail;
    expect_failure(against(CheckType::http, endless("HTTP/1.1 200 OK\r\n\r\n", flood)),
                   "HTTP 200, body lacks \"pong\" in its first 64 KiB");
    expect_failure(against(CheckType::http, endless("HTTP/1.1 200 OK\r\n", "X-Y: value\r\n")),
                   "answer has no end of its header within 64 KiB");
    EXPECT_TRUE(
        against(CheckType::http, endless("", flood)).detail.starts_with("answer is not HTTP"));
    expect_failure(against(CheckType::tls, endless("", flood)),
                   "TLS handshake failed: wrong version number");
}

TEST_F(ProbeTest, SlowSendersAreBoundedByTheDeadline) {
    exchange("", "never");
    settings.health_check.http.body_contains = "never";
    const auto slowly = [](const std::string& text) { return Manners{.says = text, .pace = 1ms}; };
    const std::string forever(100'000, 'x');
    const std::string timeout = "time-out after 150 ms while waiting for the answer: ";
    const ProbeResult bytes = against(CheckType::exchange, slowly(forever), short_timeout);
    EXPECT_FALSE(bytes.ok);
    EXPECT_TRUE(bytes.detail.starts_with(timeout + "answer lacks \"never\"")) << bytes.detail;
    const ProbeResult header =
        against(CheckType::http, slowly("HTTP/1.1 200 OK\r\nX: " + forever), short_timeout);
    EXPECT_TRUE(header.detail.starts_with(timeout)) << header.detail;
    EXPECT_FALSE(header.ok);
    // The type of a record and its length: as far as it goes, a handshake.
    expect_failure(
        against(CheckType::tls, slowly("\x16\x03\x03\x40\x01\x02"s + std::string(20'000, '\0')),
                short_timeout),
        "time-out after 150 ms while waiting for the TLS handshake");
}

TEST_F(ProbeTest, GarbageIsShown) {
    exchange("ping", "pong");
    const Manners garbage{.waits_for_request = true,
                          .says = "\x01\x02\r\n\xff\xff\xff\xff garbage"};
    expect_failure(against(CheckType::exchange, garbage, short_timeout),
                   "time-out after 150 ms while waiting for the answer: answer lacks \"pong\": "
                   R"("\x01\x02\r\n\xff\xff\xff\xff garbage")");
    EXPECT_TRUE(against(CheckType::http, garbage).detail.starts_with("answer is not HTTP: "));
    EXPECT_TRUE(against(CheckType::tls, garbage).detail.starts_with("TLS handshake failed: "));
}

// Exchange.

TEST_F(ProbeTest, ExchangeSendsAndExpectsAnyBytes) {
    const test::ChaosBackend echo(test::scripts::echo());
    const std::string bytes = "\0\r\n\xff\x00zero"s;
    exchange(bytes, bytes);
    EXPECT_TRUE(check(CheckType::exchange, echo.text()).ok);
    exchange(bytes, "\x00zer"s);
    EXPECT_TRUE(check(CheckType::exchange, echo.text()).ok);
    exchange(bytes, "\x01zer"s);
    const ProbeResult result = check(CheckType::exchange, echo.text(), short_timeout);
    EXPECT_FALSE(result.ok);
    EXPECT_TRUE(result.detail.ends_with(R"(answer lacks "\x01zer": "\x00\r\n\xff\x00zero")"))
        << result.detail;
}

TEST_F(ProbeTest, ExchangeFindsWhatComesInPieces) {
    exchange("ping", "needle");
    EXPECT_TRUE(against(CheckType::exchange,
                        Manners{.waits_for_request = true, .says = "needneedle", .pace = 1ms})
                    .ok);
}

TEST_F(ProbeTest, ExchangeWithoutExpectationWantsAnyByte) {
    exchange("ping", "");
    EXPECT_TRUE(against(CheckType::exchange, {.waits_for_request = true, .says = "x"}).ok);
    expect_failure(against(CheckType::exchange, {}, short_timeout),
                   "time-out after 150 ms while waiting for the answer");
}

TEST_F(ProbeTest, ExchangeWithoutAnythingToSendReadsWhatTheServerSaysFirst) {
    exchange("", "220 ");
    EXPECT_TRUE(against(CheckType::exchange, {.says = "220 mail ready\r\n"}).ok);
    const ProbeResult result =
        against(CheckType::exchange, {.says = "554 no service\r\n", .then = Manners::Then::close});
    expect_failure(result, R"(answer lacks "220 ": "554 no service\r\n")");
}

TEST_F(ProbeTest, ExchangeOfNothingIsConnecting) {
    exchange("", "");
    EXPECT_TRUE(against(CheckType::exchange, Manners{}).ok);
}

TEST_F(ProbeTest, ExchangeToAServerThatReadsNothing) {
    const test::ChaosBackend hang(test::scripts::hang());
    exchange(std::string(std::size_t{32} << 20, 'x'), "pong");
    expect_failure(check(CheckType::exchange, hang.text(), short_timeout),
                   "time-out after 150 ms while sending");
}

// HTTP.

/// Keeps the request, answers 200.
class RequestKeeper {
public:
    explicit RequestKeeper(const std::string& address = "127.0.0.1:0")
        : server_([this](test::Socket& socket, const test::ChaosBackend&) { answer(socket); },
                  address) {}
    [[nodiscard]] std::string text() const { return server_.text(); }
    /// Ends the server's part first.
    std::string request() {
        EXPECT_TRUE(test::wait_for([this] { return server_.finished() > 0; }));
        return request_;
    }

private:
    void answer(test::Socket& socket) {
        while (!request_.ends_with("\r\n\r\n")) {
            const std::string more = socket.receive_text(1);
            if (more.empty()) return;
            request_ += more;
        }
        socket.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        socket.wait_end();
    }

    std::string request_;
    test::ChaosBackend server_;
};

TEST_F(ProbeTest, HttpRequest) {
    RequestKeeper server;
    EXPECT_TRUE(check(CheckType::http, server.text()).ok);
    EXPECT_EQ(server.request(), "GET / HTTP/1.1\r\nHost: " + server.text() +
                                    "\r\nUser-Agent: penstock-check\r\nAccept: */*\r\n"
                                    "Connection: close\r\n\r\n");
}

TEST_F(ProbeTest, HttpRequestAsConfigured) {
    settings.health_check.http.method = "POST";
    settings.health_check.http.path = "/health?full=1";
    settings.health_check.http.host = "web.internal";
    RequestKeeper server;
    EXPECT_TRUE(check(CheckType::http, server.text()).ok);
    const std::string request = server.request();
    EXPECT_TRUE(request.starts_with("POST /health?full=1 HTTP/1.1\r\nHost: web.internal\r\n"))
        << request;
    EXPECT_NE(request.find("Content-Length: 0\r\n"), std::string::npos) << request;
}

TEST_F(ProbeTest, HttpHostOfTheBackend) {
    RequestKeeper named;
    const ProbeTarget target = target_at(named.text(), "db1.internal");
    const auto upstream = upstream_with(CheckType::http, long_timeout);
    EXPECT_TRUE(runner.run(upstream, target).ok);
    const std::string port = named.text().substr(named.text().find(':'));
    EXPECT_NE(named.request().find("Host: db1.internal" + port + "\r\n"), std::string::npos);

    const test::TempDir directory;
    RequestKeeper unix_server("unix:" + directory.path("socket"));
    EXPECT_TRUE(check(CheckType::http, unix_server.text()).ok);
    EXPECT_NE(unix_server.request().find("Host: localhost\r\n"), std::string::npos);

    RequestKeeper ipv6("[::1]:0");
    EXPECT_TRUE(check(CheckType::http, ipv6.text()).ok);
    EXPECT_NE(ipv6.request().find("Host: " + ipv6.text() + "\r\n"), std::string::npos);
}

TEST_F(ProbeTest, HttpHead) {
    settings.health_check.http.method = "HEAD";
    EXPECT_TRUE(against(CheckType::http, {.waits_for_request = true,
                                          .says = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"})
                    .ok);
}

TEST_F(ProbeTest, HttpBodyOverTheNetwork) {
    settings.health_check.http.body_contains = "green";
    const std::string header = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    EXPECT_TRUE(against(CheckType::http, {.waits_for_request = true, .says = header + "green"}).ok);
    expect_failure(against(CheckType::http, {.waits_for_request = true, .says = header + "brown"}),
                   "HTTP 200, body lacks \"green\"");
    expect_failure(
        against(CheckType::http, {.waits_for_request = true, .says = header + "gr"}, short_timeout),
        "time-out after 150 ms while waiting for the answer: HTTP 200, body lacks "
        "\"green\"");
}

TEST_F(ProbeTest, HttpOverPlainToOneThatSpeaksTls) {
    // What OpenSSL answers to plain text: an alert.
    const std::string alert = "\x15\x03\x01\x00\x02\x02\x46"s;
    expect_failure(
        against(CheckType::http,
                {.waits_for_request = true, .says = alert, .then = Manners::Then::close}),
        R"(answer is not HTTP: "\x15\x03\x01\x00\x02\x02F")");
}

TEST_F(ProbeTest, TlsToOneThatSpeaksHttp) {
    settings.health_check.tls = config::CheckTls::on;
    for (const CheckType type : talkative_types)
        expect_failure(against(type, {.waits_for_request = true,
                                      .says = "HTTP/1.1 400 Bad Request\r\n\r\n",
                                      .then = Manners::Then::close}),
                       "TLS handshake failed: wrong version number");
}

TEST_F(ProbeTest, NoneIsNoProbe) {
    EXPECT_EQ(make_probe(runner.context(), upstream_with(CheckType::none), {}), nullptr);
}

}  // namespace
}  // namespace penstock::health
