// The examples of docs/tls.md: each runs as it stands there, but for addresses and ports, with
// files of the names that it gives, and does what the page says.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

struct TlsExamples : ::testing::Test {
    TempDir files;
    Pki pki{files, "public"};
    Pki internal{files, "internal"};  // makes internal-ca.pem
    Pki clients{files, "client"};     // makes client-ca.pem
    Pair www = certificate(pki, "www", "www.example.com");

    static Pair certificate(Pki& authority, const std::string& file, const std::string& name,
                            Usage usage = Usage::server) {
        return authority.issue(file,
                               {.names = {"DNS:" + name}, .common_name = name, .usage = usage});
    }
    /// The first TOML block below the heading with that number.
    static std::string example(int number) {
        const std::string page = read_file(PENSTOCK_TLS_PAGE);
        const auto heading = page.find("\n## " + std::to_string(number) + ". ");
        const auto begin = page.find("\n```toml\n", heading);
        const auto end = page.find("\n```\n", begin);
        if (heading == page.npos || begin == page.npos || end == page.npos) return {};
        return page.substr(begin + 9, end - begin - 8);
    }
    /// Runs it in the directory of the files, with a log and a socket for the test.
    [[nodiscard]] std::unique_ptr<ProxyProcess> run(int number, Changes changes) const {
        changes.insert(changes.begin(),
                       {number == 4 ? "\":8443\"" : "\":443\"", "\"127.0.0.1:0\""});
        const std::string toml =
            changed(example(number), changes) +
            "\n[process]\nworkers = 1\ndrain = { wait = \"100ms\", close_over = \"100ms\" }\n"
            "[access_log]\ntarget = \"@DIR@/access.log\"\nflush_interval = \"50ms\"\n"
            "[[admin.listener]]\nbind = \"unix:@DIR@/admin.sock\"\n";
        ProxyOptions options;
        options.directory = files.path();
        return std::make_unique<ProxyProcess>(toml, options);
    }
    [[nodiscard]] TlsClientOptions asks(const std::string& name = "www.example.com") const {
        return {.server_name = name, .ca_file = pki.ca_file()};
    }
    static bool is_served(const ProxyProcess& proxy, const std::string& listener,
                          const TlsClientOptions& options) {
        TlsClient client(options);
        return client.open(proxy.address(listener)) && client.ping() && client.close_cleanly();
    }
};

TEST_F(TlsExamples, terminate) {
    const Pair shop = certificate(pki, "shop", "shop.example.com");
    EchoServer web;
    const auto proxy = run(1, {{"10.0.0.1:8080", web.text()}});
    EXPECT_TRUE(is_served(*proxy, "https", asks())) << proxy->errors();
    EXPECT_TRUE(is_served(*proxy, "https", asks("shop.example.com")));
    TlsClient unknown({.server_name = "other.example.com"});
    ASSERT_TRUE(unknown.open(proxy->address("https")));
    EXPECT_EQ(unknown.peer_serial(), www.serial);
    EXPECT_TRUE(unknown.close_cleanly());

    TlsClientOptions options = asks();
    options.alpn = {"h2", "http/1.1"};
    TlsClient both(options);
    ASSERT_TRUE(both.open(proxy->address("https")));
    EXPECT_EQ(both.alpn(), "http/1.1");
    EXPECT_TRUE(both.close_cleanly());
    options.alpn = {"h2"};
    TlsClient none(options);
    EXPECT_FALSE(none.open(proxy->address("https")));
    EXPECT_EQ(none.alert(), alerts::no_application_protocol);

    const unsigned heard = web.accepted();
    auto plain = Socket::connect(proxy->address("https"));
    ASSERT_TRUE(plain && plain->send("GET / HTTP/1.1\r\n\r\n"));
    EXPECT_NE(plain->wait_end(), End::open);
    const auto lines = expect_lines(*proxy, 6);
    EXPECT_EQ(std::ranges::count(lines, "tls_failed", &LogLine::reason), 2);
    EXPECT_EQ(std::ranges::count(lines, "completed", &LogLine::reason), 4);
    EXPECT_EQ(lines[0].sni, "www.example.com") << lines[0].raw;
    EXPECT_EQ(lines[0].tls.version, "TLSv1.3") << lines[0].raw;
    EXPECT_EQ(lines[0].bytes_to_backend, 4U) << "the payload: " << lines[0].raw;
    EXPECT_EQ(web.accepted(), heard);
}

TEST_F(TlsExamples, pass_through_by_name) {
    const Pair apps_pair = certificate(pki, "apps", "a.b.apps.example.com");
    TlsEchoServer web({.pair = www, .alpn = {"http/1.1"}});
    TlsEchoServer apps({.pair = apps_pair});
    const auto proxy = run(2, {{"10.0.0.1:443", web.text()}, {"10.0.0.2:443", apps.text()}});
    TlsClientOptions options = asks();
    options.alpn = {"http/1.1"};
    TlsClient client(options);
    ASSERT_TRUE(client.open(proxy->address("by-name")) && client.ping()) << client.error();
    EXPECT_EQ(client.peer_serial(), www.serial);
    EXPECT_TRUE(client.close_cleanly());
    EXPECT_TRUE(is_served(*proxy, "by-name", asks("a.b.apps.example.com")));
    TlsClient one_label({.server_name = "one.apps.example.com"});
    ASSERT_TRUE(one_label.open(proxy->address("by-name")));
    EXPECT_EQ(one_label.peer_serial(), apps_pair.serial);
    EXPECT_TRUE(one_label.close_cleanly());

    for (const char* name : {"other.example.com", ""}) {
        TlsClient refused({.server_name = name});
        EXPECT_FALSE(refused.open(proxy->address("by-name"))) << name;
    }
    auto plain = Socket::connect(proxy->address("by-name"));
    ASSERT_TRUE(plain && plain->send("GET / HTTP/1.1\r\n\r\n"));
    EXPECT_EQ(plain->wait_end(), End::reset);
    const auto lines = expect_lines(*proxy, 6);
    EXPECT_EQ(std::ranges::count(lines, "no_route", &LogLine::reason), 3);
    EXPECT_EQ(lines[0].sni, "www.example.com") << lines[0].raw;
    EXPECT_EQ(lines[0].alpn, "http/1.1") << lines[0].raw;
    EXPECT_EQ(lines[0].route, "www.example.com") << lines[0].raw;
    EXPECT_EQ(lines[1].route, "*.apps.example.com") << lines[1].raw;
    EXPECT_EQ(get_json(proxy->admin(), "/api/v1/explain?listener=by-name&sni=a.b.apps.example.com")
                  .at("upstream"),
              "apps");
}

TEST_F(TlsExamples, encrypt_again) {
    const Pair good = certificate(internal, "app", "app.internal");
    const Pair foreign = certificate(pki, "foreign", "app.internal");
    TlsEchoServer first({.pair = foreign});
    TlsEchoServer second({.pair = good});
    const auto proxy = run(3, {{"10.0.0.1:8443", first.text()}, {"10.0.0.2:8443", second.text()}});
    // Chance decides who is tried first.
    std::size_t clients_served = 0;
    while (clients_served < 4 || (first.accepted() == 0 && clients_served < 100)) {
        ASSERT_TRUE(is_served(*proxy, "https", asks())) << proxy->errors();
        ++clients_served;
    }
    EXPECT_GT(first.accepted(), 0U);
    EXPECT_EQ(first.established(), 0U) << "whom its authority does not vouch for";
    const auto visits = second.wait_over(clients_served);
    EXPECT_EQ(visits[0].server_name, "app.internal");
    EXPECT_FALSE(visits[0].resumed);
    EXPECT_TRUE(std::ranges::any_of(visits, &TlsVisit::resumed));
    const auto lines = expect_lines(*proxy, clients_served);
    EXPECT_EQ(reasons_other_than(lines, "completed"), "");
    EXPECT_TRUE(std::ranges::any_of(lines, [](const LogLine& line) {
        return line.attempts.size() == 2 && line.attempts[0].error == "tls";
    })) << lines[0].raw;
}

TEST_F(TlsExamples, encrypt_again_with_nobody_to_trust) {
    const Pair foreign = certificate(pki, "foreign", "app.internal");
    TlsEchoServer backend({.pair = foreign});
    const auto proxy =
        run(3, {{"\"10.0.0.1:8443\", \"10.0.0.2:8443\"", "\"" + backend.text() + "\""}});
    TlsClient client(asks());
    EXPECT_TRUE(client.open(proxy->address("https"))) << client.error();
    EXPECT_NE(client.wait_end(), TlsEnd::open);
    const LogLine line = expect_lines(*proxy, 1)[0];
    EXPECT_EQ(line.reason, "connect_failed") << line.raw;
    EXPECT_NE(line.detail, "") << line.raw;
}

TEST_F(TlsExamples, mutual_tls) {
    const auto named = [this](const std::string& file, const std::string& san) {
        return clients.issue(file, {.names = {san}, .common_name = file, .usage = Usage::client});
    };
    const Pair one = named("one", "DNS:one.clients.example.com");
    const Pair reports = named("reports", "URI:spiffe://example.com/reports");
    const Pair revoked = named("revoked", "DNS:gone.clients.example.com");
    const Pair misnamed = named("misnamed", "DNS:a.b.clients.example.com");
    const Pair foreign = certificate(pki, "foreign", "two.clients.example.com", Usage::client);
    clients.revoke("client-ca.crl", {revoked.serial});
    const Pair proxy_pair = certificate(internal, "proxy", "proxy.internal", Usage::client);
    const Pair api = certificate(internal, "api", "api.internal");
    TlsEchoServer backend({.pair = api, .client_ca = internal.ca_file()});
    const auto proxy = run(4, {{"10.0.0.1:8443", backend.text()}});

    TlsClientOptions options = asks();
    for (const Pair* welcome : {&one, &reports}) {
        options.certificate = welcome;
        EXPECT_TRUE(is_served(*proxy, "api", options)) << proxy->errors();
    }
    EXPECT_EQ(backend.wait_over(2)[0].client_common_name, "proxy.internal");
    EXPECT_EQ(expect_lines(*proxy, 2)[0].tls.client_cert, "CN=one");

    for (const Pair* refused : {&revoked, &misnamed, &foreign, static_cast<const Pair*>(nullptr)}) {
        options.certificate = refused;
        TlsClient client(options);
        EXPECT_FALSE(client.open(proxy->address("api")) && client.ping());
        EXPECT_TRUE(client.alert());
    }
    const auto lines = expect_lines(*proxy, 6);
    EXPECT_EQ(std::ranges::count(lines, "tls_client_cert", &LogLine::reason), 4);
    EXPECT_EQ(backend.accepted(), 2U);
}

TEST_F(TlsExamples, behind_another_proxy) {
    ProxyHeaderBackend web;
    const auto proxy = run(5, {{"10.0.0.10", "127.0.0.1"}, {"10.0.0.1:8080", web.text()}});
    const std::string client = "203.0.113.9:4711";
    const std::string entrance = "198.51.100.1:443";
    TlsClientOptions options = asks();
    options.socket.source = "127.0.0.1:0";
    for (const std::string& header : {proxy_v2(client, entrance), proxy_v1(client, entrance)}) {
        options.before = header;
        EXPECT_TRUE(is_served(*proxy, "https", options)) << proxy->errors();
    }
    const auto headers = web.wait_headers(2);
    ASSERT_EQ(headers.size(), 2U);
    const auto lines = expect_lines(*proxy, 2);
    for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(headers[i].version, 2);
        EXPECT_EQ(headers[i].source, client);
        EXPECT_EQ(headers[i].destination, entrance);
        EXPECT_FALSE(headers[i].crc_wrong);
        ASSERT_TRUE(headers[i].find(tlv::authority) && headers[i].find(tlv::unique_id) &&
                    headers[i].find(tlv::ssl) && headers[i].find(tlv::crc32c));
        EXPECT_EQ(*headers[i].find(tlv::authority), "www.example.com");
        EXPECT_EQ(*headers[i].find(tlv::unique_id), lines[i].id);
        EXPECT_EQ(lines[i].client, client) << lines[i].raw;
        EXPECT_EQ(host_of_line(lines[i].peer), "127.0.0.1") << lines[i].raw;
    }

    struct Case {
        std::string source;
        std::string header;
        std::string reason;
    };
    const std::vector<Case> refused{
        {"127.0.0.1:0", "", "proxy_header_invalid"},
        {"127.0.0.1:0", proxy_v2("192.0.2.1:1", entrance), "denied"},
        {"127.0.0.2:0", proxy_v2(client, entrance), "proxy_header_untrusted"},
    };
    std::size_t before = 2;
    for (const Case& one : refused) {
        options.before = one.header;
        options.socket.source = one.source;
        EXPECT_FALSE(is_served(*proxy, "https", options)) << one.reason;
        EXPECT_EQ(expect_lines(*proxy, ++before).back().reason, one.reason);
    }
    EXPECT_EQ(web.accepted(), 2U);
}

}  // namespace
}  // namespace penstock::test
