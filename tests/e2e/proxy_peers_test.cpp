#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "tests/e2e/scenario.hpp"
#include "tests/integration/tls_scenario.hpp"
#include "tests/servers/curl.hpp"
#include "tests/servers/haproxy.hpp"
#include "tests/servers/loopback.hpp"
#include "tests/servers/nginx.hpp"

/// PROXY headers exchanged with HAProxy and nginx, in both directions.
namespace penstock::test {
namespace {

struct ProxyPeers : TlsScene {};

/// Answers over HTTP what a header has told.
const HaproxyOptions telling{.mode = "http",
                             .bind = "accept-proxy",
                             .frontend =
                                 "http-request return status 200 content-type text/plain lf-string "
                                 "\"%[src] %[src_port] %[fc_pp_authority] %[fc_pp_unique_id]\\n\""};

constexpr const char* trusting =
    "proxy_protocol = \"any\"\nproxy_protocol_from = \"127.0.0.0/8\"\n";

/// The line of that client: HAProxy has others too, one that asked whether it runs.
std::optional<LogLine> line_of(const ProxyProcess& proxy, const std::string& client) {
    std::optional<LogLine> found;
    wait_for([&] {
        for (const LogLine& line : proxy.access_log().lines())
            if (line.client == client) found = line;
        return found.has_value();
    });
    return found;
}

TEST_F(ProxyPeers, P15_haproxy_sends_either_version) {
    ProxyProcess proxy(one_service({echo.text()}, "", "", trusting));
    for (const char* words : {"send-proxy", "send-proxy-v2",
                              "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"}) {
        Haproxy front(proxy.address().text(), {.server = words});
        auto client = established(front.address());
        ASSERT_TRUE(client) << words;
        const std::string address = client->local().text();
        client->finish();
        client->wait_end();
        const auto line = line_of(proxy, address);
        ASSERT_TRUE(line) << words << proxy.errors();
        EXPECT_NE(line->peer, "") << line->raw;
        EXPECT_EQ(line->bytes_to_backend, 4U) << line->raw;
        EXPECT_EQ(line->problem, "") << line->raw;
    }
}

TEST_F(ProxyPeers, P15_what_haproxy_says_of_its_clients_tls_is_handed_on) {
    ProxyHeaderBackend backend;
    ProxyProcess proxy(one_service({backend.text()}, "",
                                   "send_proxy_protocol = \"v2\"\n"
                                   "send_proxy_protocol_tlvs = [\"passthrough\", \"crc32c\"]\n",
                                   trusting));
    const std::string both = pki.write("both.pem", a.cert_pem + a.key_pem);
    const Pair own = pki.client("the client");
    Haproxy front(proxy.address().text(),
                  {.bind = "ssl crt " + both + " verify optional ca-file " + pki.ca_file(),
                   .server = "send-proxy-v2-ssl-cn proxy-v2-options ssl-cipher,authority,crc32c"});
    TlsClientOptions options = asks();
    options.certificate = &own;
    TlsClient client(options);
    ASSERT_TRUE(client.open(front.address()) && client.ping()) << client.error();
    const ProxyHeader header = backend.wait_headers(1).at(0);
    EXPECT_EQ(header.source, client.socket().local().text());
    EXPECT_FALSE(header.crc_wrong);
    ASSERT_TRUE(header.find(tlv::authority));
    EXPECT_EQ(*header.find(tlv::authority), "a.example");
    ASSERT_TRUE(header.find(tlv::ssl));
    const auto ssl = read_ssl_tlv(*header.find(tlv::ssl));
    ASSERT_TRUE(ssl && ssl->find(tlv::ssl_common_name));
    EXPECT_EQ(*ssl->find(tlv::ssl_common_name), "the client");
}

TEST_F(ProxyPeers, P8_checks_of_haproxy_come_as_local) {
    ProxyProcess proxy(one_service({echo.text()}, "", "", trusting));
    Haproxy front(proxy.address().text(), {.server = "send-proxy-v2 check inter 100ms"});
    // Without an address of a client: the sender's own counts, and there is no other.
    const auto is_check = [](const LogLine& line) { return line.peer.empty(); };
    EXPECT_TRUE(
        wait_for([&] { return std::ranges::count_if(proxy.access_log().lines(), is_check) >= 3; }));
    for (const LogLine& line : proxy.access_log().lines())
        EXPECT_NE(line.reason, "proxy_header_invalid") << line.raw;
    EXPECT_TRUE(established(front.address()));
}

TEST_F(ProxyPeers, P15_haproxy_and_nginx_understand_what_is_sent) {
    Haproxy haproxy("", telling);
    Nginx nginx("hello", {.listen = "proxy_protocol",
                          .server = "location = /who { return 200 \"$proxy_protocol_addr "
                                    "$proxy_protocol_port\\n\"; }"});
    ConfigText config;
    for (const char* version : {"v1", "v2"}) {
        const std::string sends = "send_proxy_protocol = " + in_quotes(version) + "\n";
        config.services.push_back({.name = "haproxy-" + std::string(version),
                                   .backends = {haproxy.text()},
                                   .upstream = sends});
        config.services.push_back({.name = "nginx-" + std::string(version),
                                   .backends = {nginx.text()},
                                   .upstream = sends});
    }
    ProxyProcess proxy(config);
    std::size_t count = 0;
    for (const Service& service : config.services) {
        const std::string answer =
            curl({"--interface", "127.0.0.77", "--write-out", "%{local_port}",
                  "http://" + proxy.address(service.name).text() + "/who"});
        const std::string port = answer.substr(answer.rfind('\n') + 1);
        EXPECT_TRUE(answer.starts_with("127.0.0.77 " + port)) << service.name << answer;
        ++count;
    }
    EXPECT_EQ(count_reasons(expect_lines(proxy, count)), (Counts{{"completed", count}}));
}

TEST_F(ProxyPeers, P15_haproxy_reads_the_tlvs) {
    Haproxy haproxy("", telling);
    ProxyProcess proxy(
        one_service({haproxy.text()}, "",
                    "send_proxy_protocol = \"v2\"\n"
                    "send_proxy_protocol_tlvs = [\"authority\", \"unique_id\", \"ssl\", \"alpn\", "
                    "\"crc32c\"]\n",
                    terminates({a})));
    TlsClient client(asks());
    ASSERT_TRUE(client.open(proxy.address())) << client.error();
    ASSERT_TRUE(client.send("GET / HTTP/1.0\r\n\r\n"));
    std::string answer;
    client.wait_end(patience, &answer);
    client.notify();
    client.socket().finish();
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_NE(answer.find("127.0.0.1 " + std::to_string(client.socket().local().port()) +
                          " a.example " + line.id + "\n"),
              std::string::npos)
        << answer << line.raw;
}

TEST_F(ProxyPeers, curl_sends_one_in_front_of_tls) {
    Nginx nginx("hello");
    ProxyProcess proxy(one_service({nginx.text()}, "", "", trusting + terminates({a})));
    const std::string port = port_of(proxy.address());
    EXPECT_EQ(
        curl({"--haproxy-protocol", "--interface", "127.0.0.78", "--cacert", pki.ca_file(),
              "--resolve", "a.example:" + port + ":127.0.0.1", "https://a.example:" + port + "/"}),
        "hello\n");
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(host_of_line(line.client), "127.0.0.78") << line.raw;
    EXPECT_EQ(line.sni, "a.example") << line.raw;
}

}  // namespace
}  // namespace penstock::test
