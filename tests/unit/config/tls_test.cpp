#include "config/tls.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "config/diff.hpp"
#include "config/print.hpp"
#include "support.hpp"

namespace penstock::config {
namespace {

using namespace std::chrono_literals;
using testing::short_messages;
using testing::valid;
using Messages = std::vector<std::string>;

constexpr std::string_view certificates = "certificates = \"web.pem\"\n";

std::string with_tls(std::string_view lines) {
    return valid(fmt::format("[listener.tls]\n{}{}", certificates, lines));
}

/// The only finding.
std::string finding(std::string_view text) {
    const auto all = short_messages(text);
    if (all.size() == 1) return all[0];
    return fmt::format("{} findings: {}", all.size(), testing::messages(text));
}

TEST(ConfigTls, EveryMemberOfAListenerIsSet) {
    const auto result = testing::load(valid(R"(
[listener.tls]
certificates = [{ cert = "a.pem", key = "/keys/a.key", key_password_file = "a.password" }, "certs/*.pem"]
min_version = "1.3"
max_version = "1.3"
ciphers = ""
alpn = ["h2", "http/1.1"]
client_ca = "ca.pem"
client_crl = "crl.pem"
client_auth = "optional"
client_names = ["*.svc.example", "spiffe://example/a"]
session_tickets = false
session_cache = 7
session_ticket_key_files = ["new.key", "/keys/old.key"]
strict_sni = true
max_handshakes = 9
)"));
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    const ListenerTls expected{
        .certificates = {{.cert = "/etc/penstock/a.pem",
                          .key = "/keys/a.key",
                          .key_password_file = "/etc/penstock/a.password"},
                         {.cert = "/etc/penstock/certs/*.pem"}},
        .min_version = TlsVersion::tls13,
        .alpn = {"h2", "http/1.1"},
        .client_ca = "/etc/penstock/ca.pem",
        .client_crl = "/etc/penstock/crl.pem",
        .client_auth = ClientAuth::optional,
        .client_names = {"*.svc.example", "spiffe://example/a"},
        .session_tickets = false,
        .session_cache = 7,
        .session_ticket_key_files = {"/etc/penstock/new.key", "/keys/old.key"},
        .strict_sni = true,
        .max_handshakes = 9};
    EXPECT_EQ(result.config.listeners[0].tls, expected);
    EXPECT_EQ(testing::load(valid()).config.listeners[0].tls, std::nullopt);
}

TEST(ConfigTls, EveryMemberOfAnUpstreamIsSet) {
    const auto result = testing::load(valid({}, R"(
send_proxy_protocol = "v2"
send_proxy_protocol_tlvs = ["authority", "alpn", "ssl", "unique_id", "crc32c", "passthrough"]
balance = "maglev"
health_check = { type = "tcp", send_proxy_protocol = "off" }
[upstream.tls]
server_name = "db.example"
ca = "ca.pem"
crl = "crl.pem"
client_certificate = { cert = "me.pem", key = "me.key", key_password_file = "/me.password" }
session_reuse = false
alpn = "h2"
min_version = "1.3"
)"));
    ASSERT_TRUE(result.ok()) << format(result.diagnostics);
    const auto& upstream = result.config.upstreams[0];
    const UpstreamTls expected{.server_name = "db.example",
                               .ca = "/etc/penstock/ca.pem",
                               .crl = "/etc/penstock/crl.pem",
                               .client_certificate = {.cert = "/etc/penstock/me.pem",
                                                      .key = "/etc/penstock/me.key",
                                                      .key_password_file = "/me.password"},
                               .session_reuse = false,
                               .alpn = {"h2"},
                               .min_version = TlsVersion::tls13};
    EXPECT_EQ(upstream.tls, expected);
    EXPECT_EQ(upstream.send_proxy_protocol, SendProxyProtocol::v2);
    EXPECT_EQ(upstream.send_proxy_protocol_tlvs, (ProxyTlvs{true, true, true, true, true, true}));
    EXPECT_EQ(upstream.health_check.send_proxy_protocol, CheckProxyProtocol::off);
    EXPECT_EQ(testing::load(valid({}, "tls = {}")).config.upstreams[0].tls, UpstreamTls{});
}

TEST(ConfigTls, DefaultsAreMergedKeyByKey) {
    const auto result = testing::load(
        valid("tls = { certificates = \"own.pem\" }\nsni = { \"a.example\" = \"app\" }", {},
              "[defaults.listener.tls]\nmin_version = \"1.3\"\ncertificates = \"other.pem\"\n"
              "[defaults.listener.sni]\n\"a.example\" = \"gone\"\n\"b.example\" = \"app\"\n"
              "[defaults.upstream.tls]\nca = \"ca.pem\"\n"));
    ASSERT_TRUE(result.ok()) << format(result.diagnostics);
    const auto& tls = result.config.listeners[0].tls;
    ASSERT_TRUE(tls);
    EXPECT_EQ(tls->min_version, TlsVersion::tls13);
    EXPECT_EQ(tls->certificates, (std::vector<CertificateFile>{{.cert = "/etc/penstock/own.pem"}}));
    EXPECT_EQ(result.config.listeners[0].sni,
              (std::vector<SniUpstream>{{"a.example", "app"}, {"b.example", "app"}}));
    ASSERT_TRUE(result.config.upstreams[0].tls);
    EXPECT_EQ(result.config.upstreams[0].tls->ca, "/etc/penstock/ca.pem");
}

TEST(ConfigTls, WhatTheKeysOfAListenerSayAboutEachOther) {
    EXPECT_EQ(finding(valid("[listener.tls]\nalpn = \"h2\"")),
              "5:1 error: listener 'web': [listener.tls] without certificates; write certificates "
              "= [{ cert = \"web.pem\", key = \"web.key\" }]");
    EXPECT_EQ(finding(valid("[listener.tls]\ncertificates = [{ cert = \"\" }]")),
              "6:26 error: listener 'web': 'cert' in 'certificates' is empty");
    EXPECT_EQ(finding(valid("[listener.tls]\ncertificates = { cert = \"c/*.pem\", key = \"k\" }")),
              "6:42 error: listener 'web': '/etc/penstock/c/*.pem' may be several files, of which "
              "each has its key in itself; leave 'key' out");
    EXPECT_EQ(finding(with_tls("client_auth = \"required\"")),
              "7:15 error: listener 'web': 'client_auth' needs 'client_ca', the authorities that "
              "certificates of clients must come from");
    EXPECT_EQ(finding(with_tls("client_names = [\"a\"]")),
              "7:16 error: listener 'web': 'client_names' needs client_auth = \"optional\" or "
              "\"required\"");
    EXPECT_EQ(finding(with_tls("client_crl = \"a\"")),
              "7:14 error: listener 'web': 'client_crl' needs client_auth = \"optional\" or "
              "\"required\"");
    EXPECT_EQ(finding(with_tls("client_ca = \"a\"")),
              "7:13 warning: listener 'web': 'client_ca' has no effect with client_auth = \"off\"");
    EXPECT_EQ(
        finding(with_tls("client_ca = \"a\"\nclient_auth = \"optional\"\nclient_names = \"\"")),
        "9:16 error: listener 'web': a name in 'client_names' is empty");
    EXPECT_EQ(finding(with_tls("min_version = \"1.3\"\nmax_version = \"1.2\"")),
              "7:15 error: listener 'web': 'min_version' is above 'max_version'");
    EXPECT_EQ(finding(with_tls("min_version = \"1.3\"\nciphers = \"AES\"")),
              "8:11 warning: listener 'web': 'ciphers' is about TLS 1.2, which min_version rules "
              "out");
    EXPECT_EQ(
        short_messages(with_tls("min_version = \"1.3\"\nciphers = \"TLS_AES_128_GCM_SHA256\"")),
        Messages{});
    EXPECT_EQ(finding(with_tls("alpn = [\"h2\", \"\"]")),
              "7:15 error: listener 'web': a protocol in 'alpn' has 1 to 255 bytes, not 0");
    EXPECT_EQ(short_messages(with_tls("alpn = \"" + std::string(255, 'a') + "\"")), Messages{});
    EXPECT_EQ(finding(with_tls("alpn = \"" + std::string(256, 'a') + "\"")),
              "7:8 error: listener 'web': a protocol in 'alpn' has 1 to 255 bytes, not 256");
    EXPECT_EQ(finding(valid("tls = \"on\"")),
              "5:7 error: 'tls' in [[listener]] takes a table; this is a string, write tls = { "
              "certificates = \"web.pem\" }");
}

TEST(ConfigTls, WhatTheKeysOfAnUpstreamSayAboutEachOther) {
    const auto upstream = [](std::string_view lines) {
        return finding(valid({}, fmt::format("[upstream.tls]\n{}", lines)));
    };
    EXPECT_EQ(upstream("verify = false"),
              "10:10 warning: upstream 'app': verify = false: whoever answers at a backend's "
              "address is believed, and may read and change everything");
    EXPECT_EQ(upstream("client_certificate = { key = \"k\" }"),
              "10:22 error: upstream 'app': 'client_certificate' without 'cert'; write { cert = "
              "\"proxy.pem\", key = \"proxy.key\" }");
    EXPECT_EQ(upstream("server_name = \"DB.example\""),
              "10:15 error: upstream 'app': the server_name 'DB.example' is not in lower case; "
              "write \"db.example\"");
    EXPECT_EQ(upstream("server_name = \"*.example\""),
              "10:15 error: upstream 'app': the server_name is one name, without *");
    EXPECT_EQ(upstream("alpn = \"\""),
              "10:8 error: upstream 'app': a protocol in 'alpn' has 1 to 255 bytes, not 0");
    EXPECT_EQ(short_messages(valid({}, "tls = { server_name = \"10.0.0.1\" }")), Messages{});
    EXPECT_EQ(short_messages(valid({}, "tls = { server_name = \"2001:db8::1\" }")), Messages{});
}

TEST(ConfigTls, WhomABackendWithoutANameHasToName) {
    const auto about = [](std::string_view lines) {
        return short_messages(
            fmt::format("[[listener]]\nname = \"web\"\nbind = \":80\"\n"
                        "upstream = \"app\"\n"
                        "[[upstream]]\nname = \"app\"\n{}",
                        lines));
    };
    constexpr std::string_view unix_backend = "backend = \"unix:/run/app.sock\"\n";
    EXPECT_EQ(
        about(fmt::format("{}tls = {{}}", unix_backend)),
        (Messages{"8:7 error: upstream 'app': a backend on a unix socket has no name that its "
                  "certificate could bear; give 'server_name' in [upstream.tls]"}));
    EXPECT_EQ(about(fmt::format("{}tls = {{ server_name = \"a\" }}", unix_backend)), Messages{});
    constexpr std::string_view srv =
        "[[upstream.discovery]]\ntype = \"srv\"\nname = \"_app._tcp.example\"\n";
    EXPECT_EQ(about(fmt::format("tls = {{}}\n{}", srv)),
              (Messages{"7:7 warning: upstream 'app': with type = \"srv\" the names that "
                        "certificates must bear come from DNS, so whoever can forge its answers "
                        "chooses them; give 'server_name' in [upstream.tls]"}));
    EXPECT_EQ(about(fmt::format("tls = {{ server_name = \"a\" }}\n{}", srv)), Messages{});
}

TEST(ConfigProxyProtocol, WhatTheKeysSayAboutEachOther) {
    EXPECT_EQ(finding(valid("proxy_protocol = \"v2\"")),
              "5:18 error: listener 'web' expects PROXY headers and believes nobody's; name the "
              "proxies: proxy_protocol_from = [\"10.0.0.1\"]");
    EXPECT_EQ(short_messages(valid("proxy_protocol = \"any\"\nproxy_protocol_from = \"unix\"")),
              Messages{});
    EXPECT_EQ(finding(valid("proxy_protocol_from = \"all\"")),
              "5:23 warning: 'proxy_protocol_from' has no effect with proxy_protocol = \"off\"");
    EXPECT_EQ(
        finding(valid("proxy_protocol_untrusted = \"direct\"")),
        "5:28 warning: 'proxy_protocol_untrusted' has no effect with proxy_protocol = \"off\"");
    for (const auto* send : {"", "send_proxy_protocol = \"v1\"\n"}) {
        const auto text =
            finding(valid({}, fmt::format("{}send_proxy_protocol_tlvs = \"ssl\"", send)));
        EXPECT_NE(text.find("error: upstream 'app': only headers of version 2 can say this; write "
                            "send_proxy_protocol = \"v2\""),
                  std::string::npos)
            << text;
    }
    const std::string_view pool = "pool = { min_idle = 1 }\n";
    const std::string_view send = "send_proxy_protocol = \"v1\"\n";
    EXPECT_EQ(short_messages(valid({}, fmt::format("{}{}", pool, send))), Messages{});
    EXPECT_EQ(short_messages(valid({}, fmt::format("{}tls = {{}}", pool))), Messages{});
    const auto all = short_messages(valid({}, fmt::format("{}{}tls = {{}}", pool, send)));
    ASSERT_FALSE(all.empty());
    EXPECT_EQ(all[0],
              "9:8 error: upstream 'app': warm connections have their TLS handshake done, and the "
              "PROXY header, which names a client, would have to precede it; do without the pool "
              "(min_idle = 0) or without send_proxy_protocol");
    const auto asked =
        finding(valid("starttls = \"postgres\"\ntls = { certificates = \"a.pem\" }\n",
                      fmt::format("{}tls = {{}}", pool)));
    EXPECT_NE(asked.find("but these backends want to be asked for TLS first (starttls)"),
              std::string::npos)
        << asked;
}

TEST(ConfigProcess, MemoryLimitAndPermissions) {
    const auto result = testing::load(
        valid({}, {}, "[process]\nmemory_limit = \"512MiB\"\nstrict_permissions = true\n"));
    ASSERT_TRUE(result.diagnostics.empty()) << format(result.diagnostics);
    EXPECT_EQ(result.config.process.memory_limit, 512U << 20U);
    EXPECT_TRUE(result.config.process.strict_permissions);
    EXPECT_EQ(testing::load(valid({}, {}, "process.memory_limit = \"auto\"\n"))
                  .config.process.memory_limit,
              0U);
    EXPECT_EQ(finding(valid({}, {}, "process.memory_limit = \"1023KiB\"\n")),
              "1:24 error: 'memory_limit' in [process]: '1023KiB' is out of range: at least 1MiB");
    EXPECT_EQ(finding(valid({}, {}, "process.memory_limit = 5\n")),
              "1:24 error: 'memory_limit' in [process] takes a size in quotes, or \"auto\"; this "
              "is an integer, write memory_limit = \"2GiB\"");
}

TEST(ConfigTls, AChangeIsForNewConnections) {
    const auto changes = [](std::string_view from, std::string_view to) {
        std::vector<std::string> all;
        for (const auto& c : diff(testing::load(from).config, testing::load(to).config))
            all.push_back(fmt::format("{} {}: {} -> {}, {}", c.what, c.key, c.from, c.to,
                                      to_string(c.effect)));
        return all;
    };
    EXPECT_EQ(changes(valid(), with_tls({})),
              (Messages{"listener web tls: off -> on, new connections only"}));
    EXPECT_EQ(changes(with_tls({}), with_tls("alpn = \"h2\"")),
              (Messages{"listener web tls.alpn:  -> h2, new connections only"}));
    EXPECT_EQ(changes(valid({}, "tls = {}"), valid()),
              (Messages{"upstream app tls: on -> off, new connections only"}));
    EXPECT_EQ(changes(valid({}, {}, "process.memory_limit = \"2MiB\"\n"), valid()),
              (Messages{"process memory_limit: 2MiB -> auto, at once"}));
    EXPECT_EQ(changes(valid("sni = { \"a.example\" = \"app\" }"),
                      valid("sni = { \"b.example\" = \"app\" }")),
              (Messages{"listener web sni: a.example=app -> b.example=app, new connections only"}));
    EXPECT_EQ(changes(valid(), valid("timeouts.proxy_header = \"1s\"")),
              (Messages{"listener web timeouts.proxy_header: 5s -> 1s, new connections only"}));
}

TEST(ConfigTls, WordsOfOtherProxies) {
    const auto hint = [](std::string_view listener, std::string_view upstream) {
        const auto text = finding(valid(listener, upstream));
        const auto at = text.find("here it is ");
        return at == std::string::npos ? text : text.substr(at + 11);
    };
    EXPECT_EQ(hint("ssl_certificate = \"a\"", {}), "certificates in [listener.tls]");
    EXPECT_EQ(hint("crt = \"a\"", {}), "certificates in [listener.tls]");
    EXPECT_EQ(hint("ssl_preread = true", {}), "sni in [[listener.route]]");
    EXPECT_EQ(hint("accept-proxy = true", {}), "proxy_protocol");
    EXPECT_EQ(hint({}, "send-proxy-v2 = true"), "send_proxy_protocol = \"v2\"");
    EXPECT_EQ(hint({}, "ssl_verify = false"), "verify in [upstream.tls]");
    EXPECT_EQ(hint("proxy_protocol = \"on\"", {}),
              "\"any\"; there are \"off\", \"v1\", \"v2\", \"any\"");
}

}  // namespace
}  // namespace penstock::config
