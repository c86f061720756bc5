// Checks that begin as clients' connections do: with the PROXY header and TLS of the upstream.
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "net/tls/context.hpp"
#include "tests/support/access_log.hpp"
#include "tests/support/proxy_header.hpp"
#include "tests/support/tls_echo_server.hpp"
#include "tests/unit/health/probe/probe_runner.hpp"

namespace penstock::health {
namespace {

using config::CheckTls;
using config::CheckType;
using config::SendProxyProtocol;
using test::TlsEchoServer;

/// Answers an HTTP request.
test::TlsScript web() {
    return [](test::TlsStream& stream, const test::ChaosBackend&) {
        std::string request;
        while (request.find("\r\n\r\n") == std::string::npos) {
            const std::string more = stream.receive_some();
            if (more.empty()) return;
            request += more;
        }
        stream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.notify();
        stream.wait_end();
    };
}

/// A replica of Redis.
test::TlsScript redis() {
    return [](test::TlsStream& stream, const test::ChaosBackend&) {
        if (stream.receive_text(14) != "*1\r\n$4\r\nPING\r\n") return;
        stream.send("+PONG\r\n");
        if (stream.receive_text(14) != "*1\r\n$4\r\nROLE\r\n") return;
        stream.send("*2\r\n$5\r\nslave\r\n$4\r\nhost\r\n");
        stream.wait_end();
    };
}

class ProbeAsTraffic : public testing::Test {
protected:
    ProbeAsTraffic() { upstream.health_check.timeout = long_timeout; }

    /// The upstream's backends get TLS.
    void use_tls(net::tls::ClientOptions options = {}) {
        upstream.tls.emplace();
        options.ca_file = pki.ca_file();
        options.ca_pem = test::read_file(pki.ca_file());
        auto made = net::tls::ClientContext::make(options);
        ASSERT_TRUE(made) << made.error();
        context = *std::move(made);
    }
    ProbeResult check(CheckType type, const std::string& address) {
        upstream.health_check.type = type;
        const auto probe = make_probe(runner.context(), upstream, {.tls = context});
        ProbeTarget target = target_at(address);
        target.verify_name = name;
        return runner.run(*probe, std::move(target), long_timeout);
    }
    std::string failure_of(CheckType type, const TlsEchoServer& server) {
        const ProbeResult result = check(type, server.text());
        EXPECT_FALSE(result.ok);
        return result.detail;
    }

    test::TempDir directory;
    test::Pki pki{directory};
    config::Upstream upstream;
    std::shared_ptr<const net::tls::ClientContext> context;
    std::string name = "a.example";
    ProbeRunner runner;
};

TEST_F(ProbeAsTraffic, a_handshake_asks_for_the_name_and_shows_the_certificate) {
    const test::Pair own = pki.client("checker");
    use_tls({.certificate = {{.cert_pem = own.cert_pem, .key_pem = own.key_pem}}});
    const TlsEchoServer server({.pair = pki.server("a.example"), .client_ca = pki.ca_file()});
    const ProbeResult result = check(CheckType::tls, server.text());
    EXPECT_TRUE(result.ok) << result.detail;
    EXPECT_EQ(result.detail, "TLSv1.3");
    const auto visit = server.wait_over(1).at(0);
    EXPECT_TRUE(visit.established) << visit.error;
    EXPECT_EQ(visit.server_name, "a.example");
    EXPECT_EQ(visit.client_common_name, "checker");
}

TEST_F(ProbeAsTraffic, an_expired_certificate_is_named) {
    use_tls();
    const TlsEchoServer server(
        {.pair = pki.issue("old", {.names = {"DNS:a.example"}, .from_days = -9, .to_days = -2})});
    for (const auto type : {CheckType::tls, CheckType::http, CheckType::exchange, CheckType::redis})
        EXPECT_EQ(failure_of(type, server).find("TLS handshake failed: certificate has expired"),
                  0U);
}

TEST_F(ProbeAsTraffic, another_name_or_another_authority_is_refused) {
    use_tls();
    const TlsEchoServer server({.pair = pki.server("b.example")});
    EXPECT_NE(failure_of(CheckType::tls, server).find("mismatch"), std::string::npos);
    name = "127.0.0.1";
    EXPECT_NE(failure_of(CheckType::tls, server).find("mismatch"), std::string::npos);
    name = "";
    EXPECT_FALSE(check(CheckType::tls, server.text()).ok) << "nobody is verified without a name";
    test::Pki other(directory, "other");
    const TlsEchoServer stranger({.pair = other.server("a.example")});
    name = "a.example";
    EXPECT_NE(failure_of(CheckType::http, stranger).find("certificate"), std::string::npos);
}

TEST_F(ProbeAsTraffic, requests_go_inside) {
    use_tls();
    const test::Pair pair = pki.server("a.example");
    const TlsEchoServer pages({.pair = pair, .script = web()});
    EXPECT_EQ(check(CheckType::http, pages.text()).detail, "HTTP 200");
    const TlsEchoServer echo({.pair = pair});
    upstream.health_check.exchange = {.send = "hello", .expect = "hello"};
    EXPECT_EQ(check(CheckType::exchange, echo.text()).detail, "answered");
    const TlsEchoServer replica({.pair = pair, .script = redis()});
    const ProbeResult result = check(CheckType::redis, replica.text());
    EXPECT_TRUE(result.ok) << result.detail;
    EXPECT_EQ(result.role, Role::replica);
}

TEST_F(ProbeAsTraffic, off_is_plain_and_on_without_tls_of_the_traffic_believes_anybody) {
    use_tls();
    const TlsEchoServer server({.pair = pki.server("b.example"), .script = web()});
    upstream.health_check.tls = CheckTls::off;
    EXPECT_FALSE(check(CheckType::http, server.text()).ok);
    EXPECT_TRUE(check(CheckType::tls, server.text()).ok) << "a handshake is what it is for";
    EXPECT_TRUE(check(CheckType::tcp, server.text()).ok);
    upstream.health_check.tls = CheckTls::on;
    EXPECT_FALSE(check(CheckType::http, server.text()).ok);
    upstream.tls.reset();
    EXPECT_EQ(check(CheckType::http, server.text()).detail, "HTTP 200");
    EXPECT_TRUE(check(CheckType::tls, server.text()).ok);
}

TEST_F(ProbeAsTraffic, without_its_context_no_check_believes_anybody) {
    upstream.tls.emplace();
    for (const auto type :
         {CheckType::tls, CheckType::http, CheckType::exchange, CheckType::redis}) {
        upstream.health_check.type = type;
        EXPECT_THROW(make_probe(runner.context(), upstream, {}), std::runtime_error);
    }
    upstream.health_check.type = CheckType::tcp;
    EXPECT_NO_THROW(make_probe(runner.context(), upstream, {}));
}

TEST_F(ProbeAsTraffic, the_header_comes_first_and_says_that_the_proxy_speaks_for_itself) {
    const std::pair<SendProxyProtocol, std::string> versions[] = {
        {SendProxyProtocol::v1, "PROXY UNKNOWN\r\n"},
        {SendProxyProtocol::v2, test::proxy_v2_local()}};
    for (const auto& [version, expected] : versions) {
        upstream.send_proxy_protocol = version;
        upstream.health_check.exchange = {.send = "hello", .expect = "hello"};
        const test::ProxyHeaderBackend backend;
        const auto received = [&](std::size_t count) {
            EXPECT_TRUE(test::wait_for([&] { return backend.headers().size() == count; }));
            return backend.headers().back().raw;
        };
        EXPECT_TRUE(check(CheckType::tcp, backend.text()).ok);
        EXPECT_EQ(received(1), expected);
        EXPECT_TRUE(check(CheckType::exchange, backend.text()).ok);
        EXPECT_EQ(received(2), expected);
        // What the others hear is their own request.
        EXPECT_FALSE(check(CheckType::http, backend.text()).ok);
        EXPECT_EQ(received(3), expected);
        EXPECT_FALSE(check(CheckType::redis, backend.text()).ok);
        EXPECT_EQ(received(4), expected);
        EXPECT_EQ(backend.without(), 0U);
        upstream.health_check.send_proxy_protocol = config::CheckProxyProtocol::off;
        EXPECT_TRUE(check(CheckType::tcp, backend.text()).ok);
        EXPECT_TRUE(test::wait_for([&] { return backend.without() == 1; }));
        upstream.health_check.send_proxy_protocol = config::CheckProxyProtocol::automatic;
    }
}

TEST_F(ProbeAsTraffic, the_header_comes_before_tls) {
    use_tls();
    upstream.send_proxy_protocol = SendProxyProtocol::v2;
    const TlsEchoServer server(
        {.pair = pki.server("a.example"), .proxy_header = true, .script = web()});
    const ProbeResult result = check(CheckType::http, server.text());
    EXPECT_TRUE(result.ok) << result.detail;
    EXPECT_EQ(server.wait_over(1).at(0).proxy_header, test::proxy_v2_local());
}

}  // namespace
}  // namespace penstock::health
