// PostgreSQL's way to ask for TLS, in front of the ClientHello.
#include <gtest/gtest.h>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

const std::string ssl_request("\0\0\0\x08\x04\xd2\x16\x2f", 8);
const std::string gss_request("\0\0\0\x08\x04\xd2\x16\x30", 8);
const std::string cancel_request("\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\x09", 16);
// Protocol 3.0, user "u".
const std::string startup("\0\0\0\x10\0\x03\0\0user\0u\0\0", 16);

struct StartTls : TlsScene {
    TlsEchoServer backend{{.pair = a, .postgres = true}};

    [[nodiscard]] ConfigText terminated(std::string timeouts = "") const {
        return terminating("", std::move(timeouts), "starttls = \"postgres\"\n");
    }
    [[nodiscard]] ConfigText passing(const std::string& to, std::string timeouts = "") const {
        ConfigText config = one_service(
            {echo.text()}, std::move(timeouts), "",
            "starttls = \"postgres\"\n"
            "route = [{ sni = \"a.example\", upstream = \"a\", tls = \"passthrough\" }]\n");
        config.more = upstream_table("a", to, "attempts = 1\n");
        return config;
    }
    /// Asks for TLS as a PostgreSQL client does, and waits for the S.
    static bool asks_for_tls(TlsClient& client, const Address& proxy) {
        return client.connect(proxy) && client.socket().send(ssl_request) &&
               client.socket().receive_text(1) == "S";
    }
};

TEST_F(StartTls, request_is_answered_and_tls_ends_here) {
    ProxyProcess proxy(terminated());
    TlsClient client(asks());
    ASSERT_TRUE(asks_for_tls(client, proxy.address()));
    ASSERT_TRUE(client.handshake()) << client.error();
    EXPECT_TRUE(client.ping(startup));
    EXPECT_TRUE(client.close_cleanly());
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.reason, "completed") << line.raw;
    EXPECT_EQ(line.sni, "a.example") << line.raw;
    EXPECT_EQ(line.tls.version, "TLSv1.3") << line.raw;
    EXPECT_EQ(line.bytes_to_backend, startup.size()) << line.raw;
}

TEST_F(StartTls, request_is_repeated_to_the_backend_and_tls_passes_through) {
    ProxyProcess proxy(passing(backend.text()));
    TlsClient client(asks());
    ASSERT_TRUE(asks_for_tls(client, proxy.address()));
    ASSERT_TRUE(client.handshake()) << client.error() << proxy.errors();
    EXPECT_EQ(client.peer_serial(), a.serial);
    EXPECT_TRUE(client.ping(startup));
    EXPECT_TRUE(client.close_cleanly());
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.reason, "completed") << line.raw;
    EXPECT_EQ(line.upstream, "a") << line.raw;
    EXPECT_EQ(line.sni, "a.example") << line.raw;
    EXPECT_EQ(backend.wait_over(1).at(0).received, startup);
}

TEST_F(StartTls, encryption_by_gssapi_is_declined_first) {
    ProxyProcess proxy(terminated());
    TlsClient client(asks());
    ASSERT_TRUE(client.connect(proxy.address()) && client.socket().send(gss_request));
    EXPECT_EQ(client.socket().receive_text(1), "N");
    ASSERT_TRUE(client.socket().send(ssl_request));
    EXPECT_EQ(client.socket().receive_text(1), "S");
    ASSERT_TRUE(client.handshake()) << client.error();
    EXPECT_TRUE(client.ping());
}

TEST_F(StartTls, gssapi_again_and_again_is_no_way_to_stay) {
    ProxyProcess proxy(
        terminated("client_hello = \"600ms\"\ntls_handshake = \"600ms\"\n"
                   "idle = \"5m\""));
    auto socket = Socket::connect(proxy.address());
    ASSERT_TRUE(socket);
    int rounds = 0;
    while (socket->send(gss_request) && socket->receive_text(1) == "N") {
        ++rounds;
        std::byte nothing;
        if (socket->receive({&nothing, 1}, 20ms) != -ETIMEDOUT) break;
    }
    EXPECT_GE(rounds, 1);
    EXPECT_EQ(expect_lines(proxy, 1)[0].close_class, "client");
    EXPECT_EQ(echo.accepted(), 0U);
}

TEST_F(StartTls, client_that_starts_with_tls_at_once_is_served) {
    ProxyProcess proxy(terminated());
    TlsClientOptions options = asks();
    options.alpn = {"postgresql"};
    TlsClient client(asks());
    ASSERT_TRUE(client.open(proxy.address())) << client.error();
    EXPECT_TRUE(client.ping());
}

TEST_F(StartTls, cancel_and_plain_start_go_to_the_default_upstream) {
    ProxyProcess proxy(passing(backend.text()));
    for (const std::string& text : {cancel_request, startup}) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket && socket->send(text));
        EXPECT_EQ(socket->receive_text(text.size()), text);
    }
    EXPECT_EQ(echo.accepted(), 2U);
    for (const LogLine& line : expect_lines(proxy, 2)) EXPECT_EQ(line.upstream, "in") << line.raw;
}

TEST_F(StartTls, cancel_and_plain_start_are_refused_without_one) {
    ConfigText config = passing(backend.text());
    config.services[0].routed = false;
    ProxyProcess proxy(config);
    for (const std::string& text : {cancel_request, startup}) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket && socket->send(text));
        EXPECT_NE(socket->wait_end(), End::open);
    }
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 2), "no_route"), "");
}

TEST_F(StartTls, plain_start_after_a_declined_gssapi_is_a_plain_start) {
    ProxyProcess proxy(passing(backend.text()));
    auto socket = Socket::connect(proxy.address());
    ASSERT_TRUE(socket && socket->send(gss_request));
    EXPECT_EQ(socket->receive_text(1), "N");
    ASSERT_TRUE(socket->send(startup));
    EXPECT_EQ(socket->receive_text(startup.size()), startup);
}

TEST_F(StartTls, request_may_come_in_pieces) {
    ProxyProcess proxy(passing(backend.text()));
    TlsClientOptions options = asks();
    options.socket.no_delay = true;
    for (std::size_t cut = 1; cut < ssl_request.size(); ++cut) {
        TlsClient client(options);
        ASSERT_TRUE(client.connect(proxy.address()));
        ASSERT_TRUE(client.socket().send(ssl_request.substr(0, cut)));
        std::byte nothing;
        client.socket().receive({&nothing, 1}, 5ms);
        ASSERT_TRUE(client.socket().send(ssl_request.substr(cut)));
        ASSERT_EQ(client.socket().receive_text(1), "S") << cut;
        ASSERT_TRUE(client.handshake()) << cut << client.error();
        EXPECT_TRUE(client.ping());
    }
}

TEST_F(StartTls, T14_plain_text_behind_the_request_is_never_believed) {
    // What stands between the request and the hello would be taken for the client's own words.
    ProxyProcess proxy(terminated());
    auto socket = Socket::connect(proxy.address());
    ASSERT_TRUE(socket && socket->send(ssl_request + startup));
    EXPECT_NE(socket->wait_end(), End::open);
    EXPECT_EQ(expect_lines(proxy, 1)[0].close_class, "client");
    EXPECT_EQ(echo.accepted(), 0U);
}

TEST_F(StartTls, T14_backend_that_declines_or_stuffs_is_not_used) {
    TlsEchoServer declines({.pair = a, .postgres = true, .postgres_answer = 'N'});
    TlsEchoServer stuffs({.pair = a, .postgres = true, .garbage = "stuffing"});
    for (const TlsEchoServer* server : {&declines, &stuffs}) {
        ProxyProcess proxy(passing(server->text()));
        TlsClient client(asks());
        ASSERT_TRUE(asks_for_tls(client, proxy.address()));
        EXPECT_FALSE(client.handshake());
        EXPECT_FALSE(client.established());
        if (server != &declines) continue;
        EXPECT_EQ(expect_lines(proxy, 1)[0].reason, "connect_failed");
        EXPECT_EQ(client.socket().receive_text(1, 100ms), "");
    }
}

TEST_F(StartTls, backend_that_never_answers_meets_the_connect_timeout) {
    ChaosBackend silent(scripts::hang());
    ConfigText config = passing(silent.text());
    config.more = upstream_table("a", silent.text(), "attempts = 1\nconnect_timeout = \"500ms\"\n");
    ProxyProcess proxy(config);
    TlsClient client(asks());
    ASSERT_TRUE(asks_for_tls(client, proxy.address()));
    const auto start = Clock::now();
    EXPECT_FALSE(client.handshake());
    EXPECT_LT(since(start), scaled(promptly) + 500ms);
    const LogLine line = expect_lines(proxy, 1)[0];
    EXPECT_EQ(line.reason, "connect_failed") << line.raw;
    EXPECT_EQ(line.attempts.at(0).error, "timeout") << line.raw;
}

TEST_F(StartTls, S9_deadline_holds_from_the_first_request_to_the_end_of_the_hello) {
    ProxyProcess proxy(passing(backend.text(), "client_hello = \"700ms\"\nidle = \"5m\""));
    const std::string hello = client_hello(asks());
    for (const std::string& rest : {std::string(), hello.substr(0, 50)}) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket && socket->send(ssl_request));
        EXPECT_EQ(socket->receive_text(1), "S");
        if (!rest.empty()) {
            ASSERT_TRUE(socket->send(rest));
        }
        EXPECT_NE(socket->wait_end(), End::open);
    }
    auto silent = Socket::connect(proxy.address());
    ASSERT_TRUE(silent);
    EXPECT_NE(silent->wait_end(), End::open);
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 3), "client_hello_timeout"), "");
}

TEST_F(StartTls, on_a_route_leaves_the_listener_to_others_as_well) {
    ConfigText config = one_service({echo.text()}, "", "",
                                    "route = [{ sni = \"a.example\", upstream = \"a\", "
                                    "tls = \"passthrough\", starttls = \"postgres\" }]\n");
    config.more = upstream_table("a", backend.text(), "attempts = 1\n");
    ProxyProcess proxy(config);
    for (const std::string& text :
         {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("\0\0\0\x01", 4),
          std::string("\0\0\x01\0????", 8)}) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket && socket->send(text));
        EXPECT_EQ(socket->receive_text(text.size()), text);
    }
    // Too short for anything, and nothing more comes.
    auto socket = Socket::connect(proxy.address());
    ASSERT_TRUE(socket && socket->send(std::string("\0\0", 2)));
    socket->finish();
    EXPECT_EQ(socket->receive_text(2), std::string("\0\0", 2));
    for (const LogLine& line : expect_lines(proxy, 4)) EXPECT_EQ(line.upstream, "in") << line.raw;
    TlsClient client(asks());
    ASSERT_TRUE(asks_for_tls(client, proxy.address()));
    EXPECT_TRUE(client.handshake() && client.ping()) << client.error();
}

TEST_F(StartTls, behind_a_proxy_header) {
    ConfigText config = terminated();
    config.services[0].listener += "proxy_protocol = \"v2\"\nproxy_protocol_from = \"all\"\n";
    ProxyProcess proxy(config);
    TlsClient client(asks());
    ASSERT_TRUE(client.connect(proxy.address()));
    ASSERT_TRUE(client.socket().send(proxy_v2("192.0.2.1:1", "192.0.2.2:2") + ssl_request));
    EXPECT_EQ(client.socket().receive_text(1), "S");
    ASSERT_TRUE(client.handshake()) << client.error();
    EXPECT_TRUE(client.ping());
    EXPECT_TRUE(client.close_cleanly());
    EXPECT_EQ(expect_lines(proxy, 1)[0].client, "192.0.2.1:1");
}

}  // namespace
}  // namespace penstock::test
