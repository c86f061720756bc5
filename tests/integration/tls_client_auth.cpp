// Clients that show a certificate, and those that do not.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

struct TlsClientAuth : TlsScene {
    [[nodiscard]] ConfigText demands(const std::string& how, const std::string& more = "") const {
        return terminating("client_auth = " + in_quotes(how) + ", client_ca = " +
                           in_quotes(pki.ca_file()) + (more.empty() ? "" : ", " + more));
    }
    [[nodiscard]] TlsClientOptions shows(const Pair& pair,
                                         TlsVersion version = TlsVersion::any) const {
        TlsClientOptions options = asks();
        options.certificate = &pair;
        options.max_version = version;
        return options;
    }
    // In TLS 1.3 a client has finished before the server has looked at its certificate.
    static bool is_served(const ProxyProcess& proxy, const TlsClientOptions& options) {
        TlsClient client(options);
        return client.open(proxy.address()) && client.ping();
    }
};

TEST_F(TlsClientAuth, T11_required_decides_before_any_byte_reaches_a_backend) {
    Pki other(files, "other");
    const Pair good = pki.client("good");
    const Pair stranger = other.issue(
        "stranger", {.names = {"DNS:good"}, .common_name = "good", .usage = Usage::client});
    const Pair expired = pki.issue(
        "expired",
        {.common_name = "expired", .usage = Usage::client, .from_days = -20, .to_days = -1});
    const Pair future = pki.issue(
        "future", {.common_name = "future", .usage = Usage::client, .from_days = 2, .to_days = 9});
    const Pair self_made =
        pki.issue("self", {.common_name = "self", .usage = Usage::client, .self_signed = true});
    const Pair misused = pki.server("server-only.example");
    ProxyProcess proxy(demands("required"));
    std::size_t count = 0;
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        TlsClientOptions none = asks();
        none.max_version = version;
        EXPECT_FALSE(is_served(proxy, none));
        ++count;
        for (const Pair* bad : {&stranger, &expired, &future, &self_made, &misused}) {
            EXPECT_FALSE(is_served(proxy, shows(*bad, version))) << bad->cert_file;
            ++count;
        }
    }
    const auto lines = expect_lines(proxy, count);
    EXPECT_EQ(reasons_other_than(lines, "tls_client_cert"), "");
    for (const LogLine& line : lines) EXPECT_NE(line.detail, "") << line.raw;
    EXPECT_EQ(echo.accepted(), 0U);
    EXPECT_EQ(handshakes_of(proxy, "failed"), static_cast<double>(count));
    TlsClient client = connected(proxy, shows(good));
    EXPECT_TRUE(client.close_cleanly());
    const LogLine last = expect_lines(proxy, count + 1).back();
    EXPECT_NE(last.tls.client_cert.find("good"), std::string::npos) << last.raw;
}

TEST_F(TlsClientAuth, T11_absent_certificate_is_told_as_such) {
    ProxyProcess proxy(demands("required"));
    TlsClient client(asks());
    client.open(proxy.address());
    client.send("x");
    client.wait_end();
    EXPECT_EQ(client.alert(), alerts::certificate_required) << client.error();
}

TEST_F(TlsClientAuth, T11_optional_takes_none_and_refuses_a_wrong_one) {
    Pki other(files, "other");
    const Pair good = pki.client("good");
    const Pair stranger = other.client("stranger");
    ProxyProcess proxy(demands("optional"));
    EXPECT_TRUE(is_served(proxy, asks()));
    EXPECT_TRUE(is_served(proxy, shows(good)));
    EXPECT_FALSE(is_served(proxy, shows(stranger)));
    const auto lines = expect_lines(proxy, 3);
    EXPECT_EQ(lines[0].tls.client_cert, "") << lines[0].raw;
    EXPECT_NE(lines[1].tls.client_cert.find("good"), std::string::npos) << lines[1].raw;
    EXPECT_EQ(lines[2].reason, "tls_client_cert") << lines[2].raw;
}

TEST_F(TlsClientAuth, off_asks_for_nothing) {
    const Pair good = pki.client("good");
    ProxyProcess proxy(terminating());
    EXPECT_TRUE(is_served(proxy, shows(good)));
    EXPECT_EQ(expect_lines(proxy, 1)[0].tls.client_cert, "");
}

TEST_F(TlsClientAuth, T11_only_clients_of_these_names_enter) {
    const auto named = [&](const std::string& file, const std::string& san) {
        return pki.issue(file,
                         {.names = {san}, .common_name = "x.svc.example", .usage = Usage::client});
    };
    const Pair wild = named("wild", "DNS:x.svc.example");
    const Pair deep = named("deep", "DNS:y.x.svc.example");
    const Pair exact = named("exact", "DNS:admin.example");
    const Pair spiffe = named("spiffe", "URI:spiffe://prod/web");
    const Pair other_uri = named("other_uri", "URI:spiffe://prod/web2");
    // A common name alone is no name.
    const Pair only_cn =
        pki.issue("only_cn", {.common_name = "x.svc.example", .usage = Usage::client});
    const Pair nul = named("nul", std::string("DNS:admin.example\0.evil.example", 31));
    ProxyProcess proxy(demands(
        "required", R"(client_names = ["*.svc.example", "admin.example", "spiffe://prod/web"])"));
    for (const Pair* good : {&wild, &exact, &spiffe})
        EXPECT_TRUE(is_served(proxy, shows(*good))) << good->cert_file;
    for (const Pair* bad : {&deep, &other_uri, &only_cn, &nul})
        EXPECT_FALSE(is_served(proxy, shows(*bad))) << bad->cert_file;
    const auto lines = expect_lines(proxy, 7);
    EXPECT_EQ(std::ranges::count(lines, "tls_client_cert", &LogLine::reason), 4);
    EXPECT_EQ(echo.accepted(), 3U);
}

TEST_F(TlsClientAuth, T11_revoked_certificates_are_refused_and_the_list_is_watched) {
    const Pair good = pki.client("good");
    const Pair bad = pki.client("bad");
    const std::string crl = pki.revoke("crl.pem", {bad.serial});
    ProxyProcess proxy(demands("required", "client_crl = " + in_quotes(crl)));
    EXPECT_TRUE(is_served(proxy, shows(good)));
    EXPECT_FALSE(is_served(proxy, shows(bad)));
    EXPECT_EQ(expect_lines(proxy, 2)[1].reason, "tls_client_cert");
    const std::string fresh = pki.revoke("crl.new", {bad.serial, good.serial});
    std::filesystem::rename(fresh, crl);
    EXPECT_TRUE(wait_for([&] { return !is_served(proxy, shows(good)); })) << proxy.errors();
}

TEST_F(TlsClientAuth, T11_authorities_are_watched_too) {
    Pki other(files, "other");
    const Pair own = pki.client("own");
    const Pair theirs = other.client("theirs");
    const std::string bundle = pki.write("bundle.pem", read_file(pki.ca_file()));
    ProxyProcess proxy(terminating("client_auth = \"required\", client_ca = " + in_quotes(bundle)));
    EXPECT_TRUE(is_served(proxy, shows(own)));
    EXPECT_FALSE(is_served(proxy, shows(theirs)));
    const std::string fresh = pki.write("bundle.new", read_file(other.ca_file()));
    std::filesystem::rename(fresh, bundle);
    EXPECT_TRUE(wait_for([&] { return is_served(proxy, shows(theirs)); })) << proxy.errors();
    EXPECT_FALSE(is_served(proxy, shows(own)));
}

TEST_F(TlsClientAuth, T11_authorities_tell_when_they_end) {
    Pki ending(files, "ending");
    const Pair soon = ending.issue(
        "soon", {.common_name = "ends soon", .from_days = -1, .to_days = 20, .self_signed = true});
    ProxyProcess proxy(
        terminating("client_auth = \"optional\", client_ca = " + in_quotes(soon.cert_file)));
    EXPECT_TRUE(proxy.says(soon.cert_file + ": the certificate expires in 19 days"))
        << proxy.errors();
    EXPECT_EQ(metrics_of(proxy).sum("penstock_tls_certificate_not_after_timestamp_seconds",
                                    {"owner=\"in\"", "file=\"" + soon.cert_file + "\""}),
              static_cast<double>(soon.not_after));
}

TEST_F(TlsClientAuth, L5_subjects_cannot_break_the_log) {
    const Pair odd = pki.issue("odd", {.common_name = "a\nb\"c\x1b[0m", .usage = Usage::client});
    const Pair long_one =
        pki.issue("long", {.common_name = std::string(64, 'n'), .usage = Usage::client});
    ProxyProcess proxy(demands("required"));
    EXPECT_TRUE(is_served(proxy, shows(odd)));
    EXPECT_TRUE(is_served(proxy, shows(long_one)));
    for (const LogLine& line : expect_lines(proxy, 2)) {
        EXPECT_EQ(line.problem, "");
        EXPECT_NE(line.tls.client_cert, "") << line.raw;
    }
}

TEST_F(TlsClientAuth, C2_required_without_authorities_is_an_error) {
    ConfigText config = terminating("client_auth = \"required\"");
    config.access_log = "target = \"off\"";
    const Finished finished =
        run_penstock({"check", "-c", files.write("check.toml", config.toml())});
    EXPECT_EQ(finished.exit_status, 2) << finished.errors;
    EXPECT_NE((finished.errors + finished.output).find("client_ca"), std::string::npos)
        << finished.errors << finished.output;
}

}  // namespace
}  // namespace penstock::test
