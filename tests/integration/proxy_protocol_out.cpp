// PROXY headers towards backends.
#include <gtest/gtest.h>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

const std::string client_address = "192.0.2.7:4711";
const std::string client_aim = "198.51.100.1:443";

struct ProxyProtocolOut : TlsScene {
    ProxyHeaderBackend backend;
    [[nodiscard]] ConfigText sending(const std::string& version, const std::string& tlvs = "",
                                     const std::string& listener = "") const {
        return one_service({backend.text()}, "",
                           "send_proxy_protocol = " + in_quotes(version) + "\n" +
                               (tlvs.empty() ? "" : "send_proxy_protocol_tlvs = [" + tlvs + "]\n"),
                           listener);
    }
    [[nodiscard]] ProxyHeader only() const {
        const auto headers = backend.wait_headers(1);
        EXPECT_EQ(headers.size(), 1U);
        EXPECT_EQ(backend.without(), 0U);
        return headers.empty() ? ProxyHeader{} : headers[0];
    }
};

TEST_F(ProxyProtocolOut, tells_both_addresses_in_either_version) {
    for (const char* version : {"v1", "v2"}) {
        ProxyHeaderBackend own;
        ProxyProcess proxy(
            one_service({own.text()}, "", "send_proxy_protocol = " + in_quotes(version) + "\n"));
        auto client = established(proxy.address());
        ASSERT_TRUE(client);
        const auto headers = own.wait_headers(1);
        ASSERT_EQ(headers.size(), 1U);
        EXPECT_EQ(headers[0].version, version[1] - '0');
        EXPECT_EQ(headers[0].source, client->local().text());
        EXPECT_EQ(headers[0].destination, proxy.address().text());
        EXPECT_TRUE(headers[0].tlvs.empty());
        client->finish();
        client->wait_end();
        // The header is nobody's payload.
        EXPECT_EQ(expect_lines(proxy, 1)[0].bytes_to_backend, 4U);
    }
}

TEST_F(ProxyProtocolOut, hands_on_what_came_in) {
    ConfigText config = sending("v2", "\"passthrough\", \"crc32c\"",
                                "proxy_protocol = \"any\"\nproxy_protocol_from = \"all\"\n");
    ProxyProcess proxy(config);
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    const std::string own(300, 'v');
    ASSERT_TRUE(client->send(proxy_v2(client_address, client_aim,
                                      {{tlv::noop, "pad"},
                                       {0xE5, own},
                                       {tlv::authority, "x.example"},
                                       {0xEE, std::string("a\0b", 3)}},
                                      true) +
                             "ping"));
    EXPECT_EQ(client->receive_text(4), "ping");
    const ProxyHeader header = only();
    EXPECT_EQ(header.source, client_address);
    EXPECT_EQ(header.destination, client_aim);
    EXPECT_FALSE(header.crc_wrong);
    ASSERT_TRUE(header.find(tlv::crc32c));
    ASSERT_TRUE(header.find(0xE5));
    EXPECT_EQ(*header.find(0xE5), own);
    ASSERT_TRUE(header.find(0xEE));
    EXPECT_EQ(*header.find(0xEE), std::string("a\0b", 3));
    ASSERT_TRUE(header.find(tlv::authority));
    EXPECT_EQ(*header.find(tlv::authority), "x.example");
    EXPECT_FALSE(header.find(tlv::noop));
}

TEST_F(ProxyProtocolOut, does_not_hand_on_without_being_told) {
    ProxyProcess proxy(
        sending("v2", "", "proxy_protocol = \"any\"\nproxy_protocol_from = \"all\"\n"));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(client->send(proxy_v2(client_address, client_aim, {{0xE5, "mine"}}) + "ping"));
    EXPECT_EQ(client->receive_text(4), "ping");
    EXPECT_TRUE(only().tlvs.empty());
}

TEST_F(ProxyProtocolOut, crosses_versions) {
    ProxyProcess proxy(
        sending("v1", "", "proxy_protocol = \"any\"\nproxy_protocol_from = \"all\"\n"));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(
        client->send(proxy_v2("[2001:db8::1]:1", "[2001:db8::2]:2", {{0xE5, "mine"}}) + "ping"));
    EXPECT_EQ(client->receive_text(4), "ping");
    EXPECT_EQ(only().raw, "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n");
}

TEST_F(ProxyProtocolOut, names_the_connection_as_the_log_does) {
    ProxyProcess proxy(sending("v2", "\"unique_id\""));
    ASSERT_TRUE(echo_once(proxy.address()));
    const ProxyHeader header = only();
    const LogLine line = expect_lines(proxy, 1)[0];
    ASSERT_TRUE(header.find(tlv::unique_id));
    EXPECT_EQ(*header.find(tlv::unique_id), line.id);
}

TEST_F(ProxyProtocolOut, tells_of_tls_with_the_client) {
    const Pair own = pki.client("the client");
    ProxyProcess proxy(sending("v2", R"("authority", "alpn", "ssl", "crc32c")",
                               terminates({a},
                                          "alpn = [\"h2\"], client_auth = \"optional\", "
                                          "client_ca = " +
                                              in_quotes(pki.ca_file()))));
    TlsClientOptions options = asks();
    options.alpn = {"h2"};
    options.certificate = &own;
    TlsClient client = connected(proxy, options);
    const ProxyHeader header = only();
    EXPECT_FALSE(header.crc_wrong);
    ASSERT_TRUE(header.find(tlv::authority) && header.find(tlv::alpn) && header.find(tlv::ssl));
    EXPECT_EQ(*header.find(tlv::authority), "a.example");
    EXPECT_EQ(*header.find(tlv::alpn), "h2");
    const auto ssl = read_ssl_tlv(*header.find(tlv::ssl));
    ASSERT_TRUE(ssl);
    // Over TLS, with a certificate in this connection, and one that was verified (0).
    EXPECT_EQ(ssl->client & 0x01, 0x01);
    EXPECT_EQ(ssl->client & 0x06, 0x06);
    EXPECT_EQ(ssl->verify, 0U);
    ASSERT_TRUE(ssl->find(tlv::ssl_version) && ssl->find(tlv::ssl_cipher) &&
                ssl->find(tlv::ssl_common_name));
    EXPECT_EQ(*ssl->find(tlv::ssl_version), "TLSv1.3");
    EXPECT_EQ(*ssl->find(tlv::ssl_cipher), client.cipher());
    EXPECT_EQ(*ssl->find(tlv::ssl_common_name), "the client");
}

// As SPIFFE has them: RFC 5280 allows an empty subject where there are alternative names.
TEST_F(ProxyProtocolOut, certificate_without_a_subject_is_one) {
    const Pair own = pki.issue("workload", {.names = {"URI:spiffe://example.com/reports", "DNS:w"},
                                            .usage = Usage::client});
    ProxyProcess proxy(sending(
        "v2", R"("ssl")",
        terminates({a}, "client_auth = \"required\", client_ca = " + in_quotes(pki.ca_file()))));
    TlsClientOptions options = asks();
    options.certificate = &own;
    TlsClient client = connected(proxy, options);
    const ProxyHeader header = only();
    ASSERT_TRUE(header.find(tlv::ssl));
    const auto ssl = read_ssl_tlv(*header.find(tlv::ssl));
    ASSERT_TRUE(ssl);
    EXPECT_EQ(ssl->client & 0x07, 0x07);
    EXPECT_EQ(ssl->find(tlv::ssl_common_name), nullptr);
    EXPECT_TRUE(client.close_cleanly());
    EXPECT_EQ(expect_lines(proxy, 1)[0].tls.client_cert, "URI:spiffe://example.com/reports");
}

TEST_F(ProxyProtocolOut, resumed_session_says_so_in_the_ssl_tlv) {
    const Pair own = pki.client("the client");
    ProxyProcess proxy(sending(
        "v2", R"("ssl")",
        terminates({a}, "client_auth = \"required\", client_ca = " + in_quotes(pki.ca_file()))));
    TlsClientOptions options = asks();
    options.certificate = &own;
    TlsClient first = connected(proxy, options);
    TlsClient second(options, first.session());
    ASSERT_TRUE(second.open(proxy.address()) && second.ping());
    ASSERT_TRUE(second.resumed());
    const auto headers = backend.wait_headers(2);
    ASSERT_EQ(headers.size(), 2U);
    ASSERT_TRUE(headers[1].find(tlv::ssl));
    const auto ssl = read_ssl_tlv(*headers[1].find(tlv::ssl));
    ASSERT_TRUE(ssl);
    EXPECT_EQ(ssl->client & 0x07, 0x05);  // TLS, and a certificate of the session alone
    ASSERT_TRUE(ssl->find(tlv::ssl_common_name));
    EXPECT_EQ(*ssl->find(tlv::ssl_common_name), "the client");
}

TEST_F(ProxyProtocolOut, tells_the_name_that_was_peeked) {
    TlsEchoServer through({.pair = a, .proxy_header = true});
    ConfigText config =
        one_service({echo.text()}, "", "",
                    "route = [{ sni = \"a.example\", upstream = \"a\", tls = \"passthrough\" }]\n");
    config.more = upstream_table("a", through.text(),
                                 "send_proxy_protocol = \"v2\"\n"
                                 "send_proxy_protocol_tlvs = [\"authority\", \"alpn\", \"ssl\"]\n");
    ProxyProcess proxy(config);
    TlsClient client = connected(proxy, asks());
    EXPECT_TRUE(client.close_cleanly());
    const std::string raw = through.wait_over(1).at(0).proxy_header;
    EXPECT_NE(raw.find(encode_tlvs({{tlv::authority, "a.example"}})), std::string::npos);
    // Nothing is known of the TLS inside.
    EXPECT_EQ(raw.find(std::string("\x20\x00", 2), 28), std::string::npos);
}

TEST_F(ProxyProtocolOut, comes_before_tls_to_the_backend) {
    TlsEchoServer encrypted(
        {.pair = pki.issue("local", {.names = {"IP:127.0.0.1"}}), .proxy_header = true});
    ProxyProcess proxy(one_service({encrypted.text()}, "",
                                   encrypts(pki.ca_file()) + "send_proxy_protocol = \"v1\"\n"));
    auto client = established(proxy.address());
    ASSERT_TRUE(client) << proxy.errors();
    const std::string source = client->local().text();
    client->finish();
    client->wait_end();
    EXPECT_TRUE(encrypted.wait_over(1).at(0).proxy_header.starts_with(
        "PROXY TCP4 127.0.0.1 127.0.0.1 " + source.substr(source.rfind(':') + 1) + " "))
        << encrypted.visits().at(0).proxy_header;
}

TEST_F(ProxyProtocolOut, unix_client_is_unknown_or_local) {
    for (const char* version : {"v1", "v2"}) {
        ProxyHeaderBackend own;
        const std::string path = "unix:" + files.path(std::string(version) + ".sock");
        ConfigText config =
            one_service({own.text()}, "", "send_proxy_protocol = " + in_quotes(version) + "\n");
        config.services[0].bind = path;
        ProxyProcess proxy(config);
        auto client = Socket::connect(Address::parse(path));
        ASSERT_TRUE(client && ping(*client));
        ASSERT_TRUE(wait_for([&] { return own.headers().size() == 1; }));
        EXPECT_EQ(own.headers()[0].command, version[1] == '1' ? "UNKNOWN" : "LOCAL");
        EXPECT_EQ(own.headers()[0].source, "");
    }
}

TEST_F(ProxyProtocolOut, checks_come_as_local_or_without) {
    const std::string check = "health_check = { type = \"tcp\", interval = \"100ms\"";
    ProxyHeaderBackend second;
    ConfigText config = sending("v2");
    config.services[0].upstream += check + " }\n";
    config.services.push_back({.name = "without",
                               .backends = {second.text()},
                               .upstream = "send_proxy_protocol = \"v1\"\n" + check +
                                           ", send_proxy_protocol = \"off\" }\n"});
    ProxyProcess proxy(config);
    ASSERT_TRUE(wait_for([&] { return backend.headers().size() >= 3; })) << proxy.errors();
    for (const ProxyHeader& header : backend.headers()) EXPECT_EQ(header.command, "LOCAL");
    EXPECT_EQ(backend.without(), 0U);
    ASSERT_TRUE(wait_for([&] { return second.without() >= 3; })) << proxy.errors();
    EXPECT_TRUE(second.headers().empty());
    // And clients come with their own.
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(backend.wait_headers(1).at(0).command, "PROXY");
}

TEST_F(ProxyProtocolOut, warm_connection_tells_of_the_client_that_gets_it) {
    ConfigText config = sending("v2", "\"crc32c\"");
    config.services[0].upstream += "pool = { min_idle = 2, max_age = \"5m\" }\n";
    ProxyProcess proxy(config);
    ASSERT_TRUE(wait_for([&] { return backend.accepted() >= 2; })) << proxy.errors();
    auto client = established(proxy.address());
    ASSERT_TRUE(client);
    const std::string source = client->local().text();
    const auto headers = backend.wait_headers(1);
    EXPECT_EQ(headers.at(0).source, source);
    client->finish();
    client->wait_end();
    EXPECT_TRUE(expect_lines(proxy, 1)[0].warm);
}

TEST_F(ProxyProtocolOut, server_that_reads_slowly_gets_header_and_data_in_order) {
    std::string seen;
    std::atomic<bool> over = false;
    ChaosBackend tap([&](Socket& socket, const ChaosBackend&) {
        const auto header = read_proxy_header(socket);
        seen = header ? header->command + socket.receive_text(1 << 20) : "no header";
        over = true;
    });
    ProxyProcess proxy(one_service({tap.text()}, "", "send_proxy_protocol = \"v2\"\n"));
    auto client = Socket::connect(proxy.address());
    const std::string payload(300'000, 'p');
    ASSERT_TRUE(client && client->send(payload));
    client->finish();
    ASSERT_TRUE(wait_for([&] { return over.load(); }));
    EXPECT_TRUE(seen == "PROXY" + payload);
}

}  // namespace
}  // namespace penstock::test
