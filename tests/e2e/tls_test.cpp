#include <gtest/gtest.h>

#include <boost/json.hpp>

#include <algorithm>
#include <fstream>

#include "tests/e2e/scenario.hpp"
#include "tests/integration/tls_scenario.hpp"
#include "tests/servers/curl.hpp"
#include "tests/servers/loopback.hpp"
#include "tests/servers/nginx.hpp"
#include "tests/servers/postgres.hpp"

/// TLS between the proxy and programs that others have written.
namespace penstock::test {
namespace {

struct RealTls : TlsScene {
    Pair own = pki.issue("own", {.names = {"DNS:own.example", "IP:127.0.0.1"}});

    [[nodiscard]] std::vector<std::string> curl_to(const ProxyProcess& proxy,
                                                   std::vector<std::string> more = {}) const {
        const std::string port = port_of(proxy.address());
        std::vector<std::string> words{"--cacert", pki.ca_file(), "--resolve",
                                       "a.example:" + port + ":127.0.0.1"};
        words.insert(words.end(), more.begin(), more.end());
        words.push_back("https://a.example:" + port + "/");
        return words;
    }
    /// Lines of a server block that serves TLS with this pair.
    [[nodiscard]] static std::string nginx_tls(const Pair& pair) {
        return "ssl_certificate " + pair.cert_file + ";\nssl_certificate_key " + pair.key_file +
               ";\n";
    }
    /// What a shell prints; its exit status does not count.
    static std::string shell(const std::string& command, milliseconds limit = 60s) {
        ChildProcess child({"sh", "-c", command + "; true"});
        EXPECT_TRUE(child.wait_exit(limit)) << command;
        return child.output() + child.errors();
    }
    static std::size_t times(const std::string& text, const std::string& word) {
        std::size_t count = 0;
        for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + 1))
            ++count;
        return count;
    }
};

TEST_F(RealTls, curl_is_served_in_both_versions_of_http) {
    Nginx old("hello");
    Nginx modern("hello", {.listen = "http2"});
    ProxyProcess first(one_service({old.text()}, "", "", terminates({a}, "alpn = [\"http/1.1\"]")));
    ProxyProcess second(one_service({modern.text()}, "", "", terminates({a}, "alpn = [\"h2\"]")));
    const std::vector<std::string> ask{"--write-out", "%{http_version}"};
    EXPECT_EQ(curl(curl_to(first, ask)), "hello\n1.1");
    EXPECT_EQ(curl(curl_to(second, ask)), "hello\n2");
    EXPECT_EQ(stop_with_lines(second, 1).at(0).alpn, "h2");
}

TEST_F(RealTls, curl_shows_a_certificate) {
    Nginx nginx("hello");
    const Pair client = pki.client("curl");
    ProxyProcess proxy(one_service(
        {nginx.text()}, "", "",
        terminates({a}, "client_auth = \"required\", client_ca = " + in_quotes(pki.ca_file()))));
    EXPECT_EQ(curl(curl_to(proxy, {"--cert", client.cert_file, "--key", client.key_file})),
              "hello\n");
    EXPECT_THROW(curl(curl_to(proxy)), std::runtime_error);
    const auto lines = stop_with_lines(proxy, 2);
    EXPECT_NE(lines[0].tls.client_cert.find("curl"), std::string::npos) << lines[0].raw;
    EXPECT_EQ(lines[1].reason, "tls_client_cert") << lines[1].raw;
}

TEST_F(RealTls, h2load_speaks_http2_through_the_termination) {
    Nginx nginx("hello", {.listen = "http2"});
    ProxyProcess proxy(one_service({nginx.text()}, "", "", terminates({a}, "alpn = [\"h2\"]")));
    const std::string number = std::to_string(sized(5000));
    const std::string report = run_program(
        {"h2load", "-n", number, "-c", "10", "-m", "20", "https://" + proxy.address().text() + "/"},
        60s);
    EXPECT_NE(report.find("Application protocol: h2\n"), std::string::npos) << report;
    EXPECT_NE(
        report.find(number + " done, " + number + " succeeded, 0 failed, 0 errored, 0 timeout"),
        std::string::npos)
        << report;
}

TEST_F(RealTls, nginx_is_client_and_server_with_the_proxy_between) {
    Nginx server("hello", {.listen = "ssl", .server = nginx_tls(own)});
    ProxyProcess proxy(one_service({server.text()}, "",
                                   encrypts(pki.ca_file(), "server_name = \"own.example\""),
                                   terminates({a})));
    Nginx front(
        "front",
        {.server = "location = /through { proxy_pass https://" + proxy.address().text() +
                   "/; proxy_ssl_verify on; proxy_ssl_trusted_certificate " + pki.ca_file() +
                   "; proxy_ssl_verify_depth 3; proxy_ssl_name a.example; "
                   "proxy_ssl_server_name on; }"});
    for (int i = 0; i < 5; ++i) EXPECT_EQ(curl({"http://" + front.text() + "/through"}), "hello\n");
    const auto lines = stop_with_lines(proxy, 5);
    // nginx may be gone before the last words of the proxy have arrived.
    for (const LogLine& line : lines)
        EXPECT_TRUE(line.reason == "completed" || line.reason == "client_reset") << line.raw;
    // nginx resumes its sessions.
    EXPECT_EQ(std::ranges::count_if(lines, [](const LogLine& line) { return line.tls.resumed; }),
              4);
}

TEST_F(RealTls, s_client_verifies_and_resumes) {
    ProxyProcess proxy(terminating());
    const std::string base = "openssl s_client -connect " + proxy.address().text() +
                             " -servername a.example -verify_return_error -CAfile " + pki.ca_file();
    const std::string once = shell(base + " -brief </dev/null");
    EXPECT_NE(once.find("Verification: OK"), std::string::npos) << once;
    EXPECT_NE(once.find("TLSv1.3"), std::string::npos) << once;
    const std::string again = shell(base + " -tls1_2 -reconnect </dev/null");
    EXPECT_EQ(times(again, "Reused, TLSv1.2"), 5U) << again;
    const std::string refused = shell(base + " -cipher AES128-SHA -tls1_2 </dev/null");
    EXPECT_NE(refused.find("handshake failure"), std::string::npos) << refused;
}

TEST_F(RealTls, s_client_asks_for_postgresqls_tls) {
    ProxyProcess proxy(terminating("", "", "starttls = \"postgres\"\n"));
    const std::string report = shell("openssl s_client -connect " + proxy.address().text() +
                                     " -starttls postgres -servername a.example -brief -CAfile " +
                                     pki.ca_file() + " </dev/null");
    EXPECT_NE(report.find("Verification: OK"), std::string::npos) << report;
}

TEST_F(RealTls, s_server_is_a_backend) {
    const Address address = private_address();
    // It shows no chain.
    const Pair flat = pki.issue("flat", {.names = {"DNS:own.example"}, .intermediates = 0});
    ServerProcess server({.argv = {"openssl", "s_server", "-accept", address.text(), "-cert",
                                   flat.cert_file, "-key", flat.key_file, "-rev", "-quiet"},
                          .accepts_on = address});
    ProxyProcess proxy(one_service({address.text()}, "",
                                   encrypts(pki.ca_file(), "server_name = \"own.example\"")));
    for (int i = 0; i < 3; ++i) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client && client->send("stressed\n"));
        EXPECT_EQ(client->receive_text(9), "desserts\n");
        client->finish();
        client->wait_end();
    }
    for (const LogLine& line : expect_lines(proxy, 3)) EXPECT_EQ(line.attempts.size(), 1U);
}

// ---- PostgreSQL

std::string verified_psql(const ProxyProcess& proxy, const std::string& ca, const std::string& name,
                          const std::string& command) {
    return run_program(
        {"psql", "--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--command=" + command,
         "host=" + name + " hostaddr=" + host_of(proxy.address()) +
             " port=" + port_of(proxy.address()) +
             " user=postgres dbname=postgres sslmode=verify-full sslrootcert=" + ca},
        60s);
}

const std::string is_encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";

TEST_F(RealTls, psql_verifies_the_server_itself_through_the_proxy) {
    Postgres server;
    server.use_tls(a.cert_pem, a.key_pem);
    ConfigText config = one_service(
        {echo.text()}, "", "",
        "starttls = \"postgres\"\n"
        "route = [{ sni = \"a.example\", upstream = \"db\", tls = \"passthrough\" }]\n");
    config.more = upstream_table("db", server.text());
    ProxyProcess proxy(config);
    for (int i = 0; i < 3; ++i)
        EXPECT_EQ(verified_psql(proxy, pki.ca_file(), "a.example", is_encrypted), "t\n");
    EXPECT_THROW(verified_psql(proxy, own.cert_file, "a.example", "select 1"), std::runtime_error);
    const auto lines = stop_with_lines(proxy, 4);
    for (const LogLine& line : lines) {
        EXPECT_EQ(line.upstream, "db") << line.raw;
        EXPECT_EQ(line.sni, "a.example") << line.raw;
    }
}

TEST_F(RealTls, psql_verifies_the_proxy_that_ends_its_tls) {
    Postgres server;
    ProxyProcess proxy(
        one_service({server.text()}, "", "", terminates({a}) + "starttls = \"postgres\"\n"));
    EXPECT_EQ(verified_psql(proxy, pki.ca_file(), "a.example", is_encrypted), "f\n");
    EXPECT_EQ(stop_with_lines(proxy, 1).at(0).sni, "a.example");
}

// ---- What auditors say

// Findings above LOW. Those about the certificate and about how it is published are about the
// test's own authority.
std::string findings_in(const std::string& file) {
    std::ifstream in(file);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    boost::system::error_code error;
    const auto parsed = boost::json::parse(text, error);
    if (error || !parsed.is_array()) return "no report: " + text.substr(0, 500);
    std::string found;
    std::size_t seen = 0;
    for (const auto& entry : parsed.as_array()) {
        const std::string severity(entry.at("severity").as_string());
        ++seen;
        if (severity == "OK" || severity == "INFO" || severity == "LOW") continue;
        // About the openssl of this machine.
        if (entry.at("id").as_string() == "engine_problem") continue;
        found += severity + " " + std::string(entry.at("id").as_string()) + ": " +
                 std::string(entry.at("finding").as_string()) + "\n";
    }
    return seen < 30 ? "only " + std::to_string(seen) + " findings" : found;
}

TEST_F(RealTls, T2_testssl_finds_nothing_above_low) {
    const Pair rsa = pki.issue(
        "rsa", {.names = {"DNS:a.example"}, .common_name = "a.example", .key = KeyKind::rsa});
    Nginx nginx("hello");
    ProxyProcess proxy(one_service({nginx.text()}, "idle = \"20s\"", "", terminates({a, rsa})));
    const std::string file = files.path("testssl.json");
    const std::string report = shell(
        "TERM=dumb testssl --quiet --warnings off --color 0 --ip 127.0.0.1 --nodns none "
        "--openssl /usr/bin/openssl --jsonfile " +
            file + " -p -s -P -f -U https://a.example:" + port_of(proxy.address()),
        600s);
    EXPECT_EQ(findings_in(file), "") << report;
}

TEST_F(RealTls, T2_sslscan_finds_modern_protocols_and_ciphers_alone) {
    const Pair rsa = pki.issue("rsa", {.names = {"DNS:a.example"}, .key = KeyKind::rsa});
    ProxyProcess proxy(one_service({echo.text()}, "", "", terminates({a, rsa})));
    const std::string file = files.path("sslscan.xml");
    const std::string report = shell("sslscan --no-colour --sni-name=a.example --xml=" + file +
                                     " " + proxy.address().text());
    const std::string xml = read_file(file);
    for (const char* old :
         {"version=\"2\" enabled=\"1\"", "version=\"3\" enabled=\"1\"",
          "version=\"1.0\" enabled=\"1\"", "version=\"1.1\" enabled=\"1\"", "strength=\"weak\"",
          "strength=\"null\"", "strength=\"medium\"", "strength=\"anonymous\"",
          "<compression supported=\"1\"", "vulnerable=\"1\""})
        EXPECT_EQ(xml.find(old), std::string::npos) << old << "\n" << report;
    for (const char* modern : {"version=\"1.2\" enabled=\"1\"", "version=\"1.3\" enabled=\"1\"",
                               "TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"})
        EXPECT_NE(xml.find(modern), std::string::npos) << modern << "\n" << report;
}

}  // namespace
}  // namespace penstock::test
