// TLS that ends at the proxy: what it offers, takes and refuses.
#include <gtest/gtest.h>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

using TlsTerminate = TlsScene;

// Sends bytes and no more; how the proxy ended that.
End answer_to(const Address& proxy, std::string_view bytes, bool finish = false) {
    auto socket = Socket::connect(proxy);
    if (!socket || !socket->send(bytes)) return End::failed;
    if (finish) socket->finish();
    return socket->wait_end();
}

TEST_F(TlsTerminate, serves_both_versions_and_logs_what_was_agreed) {
    ProxyProcess proxy(terminating(R"(alpn = ["h2", "http/1.1"])"));
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        TlsClientOptions options = asks();
        options.alpn = {"http/1.1", "h2"};
        options.max_version = version;
        TlsClient client = connected(proxy, options);
        EXPECT_EQ(client.version(), version == TlsVersion::tls12 ? "TLSv1.2" : "TLSv1.3");
        EXPECT_EQ(client.alpn(), "h2");
        EXPECT_TRUE(client.ping(random_text(1'000'000)));
        EXPECT_TRUE(client.close_cleanly());
        const auto lines = expect_lines(proxy, version == TlsVersion::tls12 ? 1 : 2);
        const LogLine& line = lines.back();
        EXPECT_EQ(line.reason, "completed") << line.raw;
        EXPECT_EQ(line.sni, "a.example") << line.raw;
        EXPECT_EQ(line.alpn, "h2") << line.raw;
        EXPECT_EQ(line.tls.version, client.version()) << line.raw;
        EXPECT_EQ(line.tls.cipher, client.cipher()) << line.raw;
        EXPECT_FALSE(line.tls.resumed) << line.raw;
        EXPECT_EQ(line.tls.client_cert, "") << line.raw;
        EXPECT_TRUE(line.tls_ms) << line.raw;
        EXPECT_EQ(line.bytes_to_backend, 1'000'004U) << line.raw;
        EXPECT_EQ(line.bytes_to_client, 1'000'004U) << line.raw;
    }
    const MetricsPage page = metrics_of(proxy);
    EXPECT_EQ(page.value(handshakes("full")), 2);
    EXPECT_EQ(page.value("penstock_tls_handshake_seconds_count{listener=\"in\"}"), 2);
}

TEST_F(TlsTerminate, counts_from_zero) {
    ProxyProcess proxy(terminating());
    for (const char* result : {"full", "resumed", "failed", "timeout"})
        EXPECT_EQ(handshakes_of(proxy, result), 0) << result;
    const MetricsPage page = metrics_of(proxy);
    EXPECT_EQ(page.value("penstock_tls_handshake_seconds_count{listener=\"in\"}"), 0);
    for (const char* result : {"success", "failure"})
        EXPECT_EQ(page.sum("penstock_tls_certificate_reloads_total",
                           {"result=\"" + std::string(result) + "\""}),
                  0);
}

TEST_F(TlsTerminate, T1_refuses_old_versions_with_an_alert) {
    ProxyProcess proxy(terminating());
    for (const TlsVersion version : {TlsVersion::tls10, TlsVersion::tls11}) {
        TlsClient client({.min_version = version, .max_version = version});
        EXPECT_FALSE(client.open(proxy.address()));
        EXPECT_EQ(client.alert(), alerts::protocol_version) << client.error();
    }
    for (const LogLine& line : expect_lines(proxy, 2)) {
        EXPECT_EQ(line.reason, "tls_failed") << line.raw;
        EXPECT_NE(line.detail, "") << line.raw;
    }
    EXPECT_EQ(handshakes_of(proxy, "failed"), 2);
    EXPECT_EQ(echo.accepted(), 0U);
}

TEST_F(TlsTerminate, T1_refuses_what_is_no_tls) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"5m\"\nclient_hello = \"5m\""));
    const std::string ssl2("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80", 14);
    const std::vector<std::string> texts{"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
                                         "SSH-2.0-OpenSSH_9.2\r\n", ssl2 + std::string(46, '\x01'),
                                         std::string(200, '\0')};
    for (const std::string& text : texts) EXPECT_NE(answer_to(proxy.address(), text), End::open);
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, texts.size()), "tls_failed"), "");
    EXPECT_EQ(echo.accepted(), 0U);
    expect_serving(proxy);
}

TEST_F(TlsTerminate, min_and_max_version_hold) {
    ConfigText config = terminating(R"(min_version = "1.3")");
    config.services.push_back({.name = "old",
                               .backends = {echo.text()},
                               .listener = terminates({a}, R"(max_version = "1.2")")});
    ProxyProcess proxy(config);
    TlsClient old({.max_version = TlsVersion::tls12});
    EXPECT_FALSE(old.open(proxy.address()));
    EXPECT_EQ(old.alert(), alerts::protocol_version);
    TlsClient modern({.min_version = TlsVersion::tls13});
    EXPECT_FALSE(modern.open(proxy.address("old")));
    EXPECT_EQ(modern.alert(), alerts::protocol_version);
    TlsClient any;
    ASSERT_TRUE(any.open(proxy.address("old"))) << any.error();
    EXPECT_EQ(any.version(), "TLSv1.2");
}

TEST_F(TlsTerminate, ciphers_are_those_that_the_file_names) {
    ProxyProcess proxy(
        terminating(R"(max_version = "1.2", ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384")"));
    TlsClient other({.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"});
    EXPECT_FALSE(other.open(proxy.address()));
    EXPECT_EQ(other.alert(), alerts::handshake_failure);
    TlsClient right;
    ASSERT_TRUE(right.open(proxy.address())) << right.error();
    EXPECT_EQ(right.cipher(), "ECDHE-ECDSA-AES256-GCM-SHA384");
}

TEST_F(TlsTerminate, T16_early_data_is_not_offered) {
    ProxyProcess proxy(terminating());
    TlsClient client = connected(proxy, asks());
    const TlsSession session = client.session();
    ASSERT_TRUE(session);
    EXPECT_EQ(session.max_early_data(), 0U);
}

TEST_F(TlsTerminate, T18_alpn_is_chosen_by_the_order_of_the_file_or_refused) {
    ProxyProcess proxy(terminating(R"(alpn = ["h2", "http/1.1"])"));
    const auto chosen = [&](const std::vector<std::string>& offered) -> std::string {
        TlsClientOptions options = asks();
        options.alpn = offered;
        TlsClient client(options);
        if (client.open(proxy.address())) return client.alpn();
        return "alert " + std::to_string(client.alert().value_or(-1));
    };
    const std::string refused = "alert " + std::to_string(alerts::no_application_protocol);
    EXPECT_EQ(chosen({"http/1.1", "h2"}), "h2");
    EXPECT_EQ(chosen({"http/1.1"}), "http/1.1");
    EXPECT_EQ(chosen({}), "");
    EXPECT_EQ(chosen({"imap"}), refused);
    EXPECT_EQ(chosen({std::string(255, 'x')}), refused);
    EXPECT_EQ(chosen({std::string(255, 'x'), "h2"}), "h2");
    std::vector<std::string> many(200, "spdy/3");
    EXPECT_EQ(chosen(many), refused);
    many.emplace_back("http/1.1");
    EXPECT_EQ(chosen(many), "http/1.1");
    for (const LogLine& line : expect_lines(proxy, 8))
        EXPECT_TRUE(line.reason == "tls_failed" || line.reason == "client_reset" ||
                    line.reason == "client_gone")
            << line.raw;
    EXPECT_EQ(handshakes_of(proxy, "failed"), 3);
}

TEST_F(TlsTerminate, T18_without_alpn_in_the_file_any_offer_is_fine) {
    ProxyProcess proxy(terminating());
    TlsClientOptions options = asks();
    options.alpn = {"h2"};
    TlsClient client = connected(proxy, options);
    EXPECT_EQ(client.alpn(), "");
    EXPECT_TRUE(client.close_cleanly());
}

// Its close_notify is no data that it waits with.
TEST_F(TlsTerminate, T8_a_client_that_leaves_the_queue_properly_is_gone) {
    ConfigText config = terminating();
    config.services[0].backends = {"address = \"" + echo.text() + "\"\nmax_connections = 1"};
    config.services[0].upstream = "queue = { max_length = 2, timeout = \"5m\" }\n";
    ProxyProcess proxy(config);
    TlsClient first = connected(proxy, asks());
    TlsClient second(asks());
    TlsClient third(asks());
    for (TlsClient* waiting : {&second, &third}) ASSERT_TRUE(waiting->open(proxy.address()));
    const auto waiting = [&] { return metrics_of(proxy).sum("penstock_upstream_queue_length"); };
    ASSERT_TRUE(wait_for([&] { return waiting() == 2; }));
    // One has said nothing, the other something that it wants an answer to: it has only half
    // closed.
    ASSERT_TRUE(third.send("ping"));
    for (TlsClient* leaving : {&third, &second}) {
        leaving->notify();
        leaving->socket().finish();
    }
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "client_gone");
    EXPECT_TRUE(first.close_cleanly());
    EXPECT_EQ(third.receive_text(4), "ping") << third.error();
}

TEST_F(TlsTerminate, L5_names_from_the_wire_cannot_break_the_log) {
    ProxyProcess proxy(terminating(R"(alpn = ["h2"])"));
    const std::vector<std::string> names{"a\nb", "\x1b[31mred", "q\"uote", "\xff\xfe"};
    for (const std::string& name : names) {
        TlsClient client({.server_name = name, .alpn = {"h2", name}});
        client.open(proxy.address());
    }
    for (const LogLine& line : expect_lines(proxy, names.size())) EXPECT_EQ(line.problem, "");
}

}  // namespace
}  // namespace penstock::test
