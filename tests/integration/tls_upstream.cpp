// TLS towards backends: whom the proxy believes, what it says of itself, and what a broken backend
// can do.
#include <gtest/gtest.h>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

struct TlsUpstream : TlsScene {
    /// A plain listener; the upstream verifies.
    [[nodiscard]] ConfigText to(const std::string& backend, const std::string& tls = "",
                                const std::string& upstream = "", std::string timeouts = "") const {
        return one_service({backend}, std::move(timeouts), encrypts(pki.ca_file(), tls) + upstream);
    }
    [[nodiscard]] Pair local(const std::string& file = "local") {
        return pki.issue(file, {.names = {"IP:127.0.0.1"}});
    }
};

TEST_F(TlsUpstream, verifies_an_address_and_encrypts) {
    TlsEchoServer backend({.pair = local()});
    ProxyProcess proxy(to(backend.text()));
    EXPECT_TRUE(echo_once(proxy.address())) << proxy.errors();
    const auto visits = backend.wait_over(1);
    EXPECT_EQ(visits.at(0).server_name, "");  // an address is no server name
    EXPECT_EQ(visits.at(0).version, "TLSv1.3");
    EXPECT_EQ(visits.at(0).received, "a probe");
    EXPECT_EQ(visits.at(0).end, TlsEnd::notified);
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.reason, "completed") << line.raw;
    EXPECT_FALSE(line.tls.present) << line.raw;  // which is about the client
    EXPECT_EQ(line.bytes_to_backend, 7U) << line.raw;
}

TEST_F(TlsUpstream, sends_the_name_that_it_verifies) {
    TlsEchoServer backend({.pair = a, .alpn = {"h2", "http/1.1"}});
    ProxyProcess proxy(to(backend.text(), "server_name = \"a.example\", alpn = [\"http/1.1\"]"));
    EXPECT_TRUE(echo_once(proxy.address())) << proxy.errors();
    EXPECT_EQ(backend.wait_over(1).at(0).server_name, "a.example");
    EXPECT_EQ(backend.visits().at(0).alpn, "http/1.1");
}

TEST_F(TlsUpstream, host_name_of_the_address_is_the_name_to_verify) {
    TlsEchoServer backend({.pair = pki.server("localhost")});
    ProxyProcess proxy(to("localhost:" + std::to_string(backend.port())));
    ASSERT_TRUE(wait_for([&] { return echo_once(proxy.address(), 2s).has_value(); }))
        << proxy.errors();
    EXPECT_EQ(backend.wait_over(1).at(0).server_name, "localhost");
}

// ---- T10

struct Judged {
    std::string name;
    LeafOptions leaf;
    bool accepted = false;
    std::string server_name = "a.example";
};

TEST_F(TlsUpstream, T10_certificates_of_backends_are_judged_strictly) {
    using Names = std::vector<std::string>;
    const Names right{"DNS:a.example"};
    const std::vector<Judged> table{
        {"good", {.names = right}, true},
        {"good_rsa", {.names = right, .key = KeyKind::rsa}, true},
        {"wildcard", {.names = {"DNS:*.b.example"}}, true, "x.b.example"},
        {"wildcard_too_deep", {.names = {"DNS:*.b.example"}}, false, "y.x.b.example"},
        {"partial_wildcard", {.names = {"DNS:b*.a.example"}}, false, "ba.a.example"},
        {"bare_wildcard", {.names = {"DNS:*"}}},
        {"expired", {.names = right, .from_days = -20, .to_days = -1}},
        {"not_yet", {.names = right, .from_days = 1, .to_days = 20}},
        {"other_name", {.names = {"DNS:b.example"}}},
        {"common_name_alone", {.common_name = "a.example"}},
        {"nul_in_the_name", {.names = {std::string("DNS:a.example\0.evil.example", 27)}}},
        {"self_signed", {.names = right, .self_signed = true}},
        {"of_a_client", {.names = right, .usage = Usage::client}},
        {"for_code", {.names = right, .usage = Usage::signing}},
        {"weak_key", {.names = right, .key = KeyKind::weak_rsa}},
        {"chain_of_4", {.names = right, .intermediates = 4}, true},
        {"chain_of_100", {.names = right, .intermediates = 100}},
        {"address", {.names = {"IP:10.0.0.1"}}, false, "10.0.0.2"},
        {"address_as_a_name", {.names = {"DNS:10.0.0.1"}}, false, "10.0.0.1"},
    };
    std::vector<std::unique_ptr<TlsEchoServer>> backends;
    ConfigText config;
    for (const Judged& one : table) {
        backends.push_back(std::make_unique<TlsEchoServer>(
            TlsServerOptions{.pair = pki.issue(one.name, one.leaf), .weak = true}));
        config.services.push_back(
            {.name = one.name,
             .backends = {backends.back()->text()},
             .upstream = encrypts(pki.ca_file(), "server_name = " + in_quotes(one.server_name)) +
                         "attempts = 1\n"});
    }
    ProxyProcess proxy(config);
    for (std::size_t i = 0; i < table.size(); ++i) {
        const bool served = echo_once(proxy.address(table[i].name)).has_value();
        EXPECT_EQ(served, table[i].accepted) << table[i].name;
        const LogLine line = expect_lines(proxy, i + 1).back();
        EXPECT_EQ(line.reason, table[i].accepted ? "completed" : "connect_failed") << line.raw;
        ASSERT_EQ(line.attempts.size(), 1U) << line.raw;
        EXPECT_EQ(line.attempts[0].error, table[i].accepted ? "" : "tls") << line.raw;
        if (!table[i].accepted) {
            EXPECT_NE(line.detail, "") << line.raw;
        }
        for (const TlsVisit& visit : backends[i]->visits())
            if (!table[i].accepted) {
                EXPECT_EQ(visit.received, "") << table[i].name;
            }
    }
}

TEST_F(TlsUpstream, T10_huge_chain_is_refused) {
    Pair pair = pki.issue("huge", {.names = {"DNS:a.example"}});
    const std::string link = pair.cert_pem.substr(pair.cert_pem.find("-----BEGIN", 10));
    std::string text = pair.cert_pem;
    while (text.size() < (1U << 20)) text += link;
    pair.cert_file = pki.write("huge.pem", text);
    TlsEchoServer backend({.pair = pair});
    ProxyProcess proxy(to(backend.text(), "server_name = \"a.example\"", "attempts = 1\n"));
    EXPECT_FALSE(echo_once(proxy.address()));
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.reason, "connect_failed") << line.raw;
    EXPECT_EQ(line.attempts.at(0).error, "tls") << line.raw;
}

TEST_F(TlsUpstream, T10_other_authority_and_revoked_certificate_are_refused) {
    Pki other(files, "other");
    const Pair revoked = pki.issue("revoked", {.names = {"DNS:a.example"}});
    const std::string crl = pki.revoke("crl.pem", {revoked.serial});
    TlsEchoServer stranger({.pair = other.server("a.example")});
    TlsEchoServer withdrawn({.pair = revoked});
    TlsEchoServer good({.pair = pki.issue("good", {.names = {"DNS:a.example"}})});
    ConfigText config;
    for (const auto& [name, server] :
         {std::pair{"stranger", &stranger}, {"withdrawn", &withdrawn}, {"good", &good}})
        config.services.push_back(
            {.name = name,
             .backends = {server->text()},
             .upstream =
                 encrypts(pki.ca_file(), "server_name = \"a.example\", crl = " + in_quotes(crl))});
    ProxyProcess proxy(config);
    EXPECT_FALSE(echo_once(proxy.address("stranger")));
    EXPECT_FALSE(echo_once(proxy.address("withdrawn")));
    EXPECT_TRUE(echo_once(proxy.address("good")));
}

TEST_F(TlsUpstream, T10_without_a_name_of_authorities_the_systems_count) {
    TlsEchoServer backend({.pair = local()});
    ProxyProcess proxy(one_service({backend.text()}, "", "tls = {}\n"));
    EXPECT_FALSE(echo_once(proxy.address()));
    EXPECT_EQ(expect_lines(proxy, 1).at(0).attempts.at(0).error, "tls");
}

TEST_F(TlsUpstream, T10_verify_false_takes_anything_and_warns) {
    TlsEchoServer backend({.pair = pki.issue("self", {.common_name = "x", .self_signed = true})});
    ProxyProcess proxy(one_service({backend.text()}, "", "tls = { verify = false }\n"));
    EXPECT_TRUE(echo_once(proxy.address()));
    EXPECT_TRUE(proxy.says("verify")) << proxy.errors();
}

// ---- Broken backends

TEST_F(TlsUpstream, T14_bytes_before_the_server_hello_never_reach_the_client) {
    const Pair pair = local();
    for (const std::string& garbage :
         {std::string("HTTP/1.1 200 OK\r\n\r\ninjected"), std::string("x"),
          std::string("\x17\x03\x03\x00\x08injected", 13)}) {
        TlsEchoServer backend({.pair = pair, .garbage = garbage});
        ProxyProcess proxy(to(backend.text(), "", "attempts = 1\n"));
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        client->send("ping");  // it may be over already
        std::uint64_t got = 0;
        EXPECT_NE(client->wait_end(patience, &got), End::open);
        EXPECT_EQ(got, 0U);
        const LogLine line = expect_lines(proxy, 1).at(0);
        EXPECT_EQ(line.reason, "connect_failed") << line.raw;
        EXPECT_EQ(line.attempts.at(0).error, "tls") << line.raw;
        EXPECT_EQ(backend.established(), 0U);
    }
}

TEST_F(TlsUpstream, T14_what_comes_with_the_end_of_the_handshake_is_data) {
    // A server that speaks first, in the same segment as its part of the handshake in TLS 1.2.
    const Pair pair = local();
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        TlsEchoServer backend(
            {.pair = pair, .max_version = version, .script = tls_scripts::say("220 welcome\r\n")});
        ProxyProcess proxy(to(backend.text()));
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        EXPECT_EQ(client->receive_text(13), "220 welcome\r\n");
        EXPECT_EQ(client->wait_end(), End::fin);
        client->finish();
        EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "completed");
    }
}

TEST_F(TlsUpstream, T8_truncated_answer_is_delivered_and_ends_with_a_reset) {
    TlsEchoServer backend({.pair = local(), .script = tls_scripts::truncate("half of it")});
    ProxyProcess proxy(to(backend.text()));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    EXPECT_EQ(client->receive_text(10), "half of it");
    EXPECT_EQ(client->wait_end(), End::reset);
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.reason, "backend_reset") << line.raw;
    EXPECT_EQ(line.bytes_to_client, 10U) << line.raw;
}

// As nginx does with a client that leaves first: a keep-alive connection is no failure of its
// server.
TEST_F(TlsUpstream, T8_bare_end_behind_that_of_the_client_is_complete_if_nothing_was_cut_off) {
    struct Case {
        std::string asks;
        bool answers;
        std::string last;
        std::string reason;
    };
    for (const Case& each : {Case{"hello", true, "", "completed"},
                             {"", false, "", "completed"},  // it was asked nothing
                             {"hello", true, "words", "backend_reset"},
                             {"hello", false, "", "backend_reset"}}) {
        TlsEchoServer backend(
            {.pair = local(), .script = tls_scripts::leave(each.last, each.answers)});
        ProxyProcess proxy(to(backend.text()));
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client && client->send(each.asks));
        const std::string answer = each.answers ? each.asks : "";
        EXPECT_EQ(client->receive_text(answer.size()), answer);
        ASSERT_TRUE(wait_for([&] { return backend.established() == 1; }));
        client->finish();
        EXPECT_EQ(client->receive_text(each.last.size()), each.last);
        EXPECT_EQ(client->wait_end(), End::reset) << "what may have been cut off never ends well";
        const LogLine line = expect_lines(proxy, 1).at(0);
        EXPECT_EQ(line.reason, each.reason) << line.raw;
        EXPECT_EQ(line.closed_by, each.reason == "completed" ? "client" : "backend") << line.raw;
        EXPECT_NE(line.raw.find("the end came without close_notify"), std::string::npos)
            << line.raw;
    }
}

TEST_F(TlsUpstream, N6_reset_of_a_client_is_no_close_notify) {
    TlsEchoServer backend({.pair = local()});
    ProxyProcess proxy(to(backend.text()));
    auto client = established(proxy.address());
    ASSERT_TRUE(client);
    client->reset();
    EXPECT_EQ(backend.wait_over(1).at(0).end, TlsEnd::reset);
}

TEST_F(TlsUpstream, N6_truncated_client_on_both_legs_of_tls_stays_truncated) {
    TlsEchoServer backend({.pair = local()});
    ProxyProcess proxy(one_service({backend.text()}, "", encrypts(pki.ca_file()), terminates({a})));
    TlsClient client = connected(proxy, asks());
    client.socket().finish();
    EXPECT_EQ(backend.wait_over(1).at(0).end, TlsEnd::reset);
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "client_reset");
}

TEST_F(TlsUpstream, both_legs_encrypted_carry_all_of_it) {
    TlsEchoServer backend({.pair = local()});
    ProxyProcess proxy(one_service({backend.text()}, "", encrypts(pki.ca_file()), terminates({a})));
    TlsClient client = connected(proxy, asks());
    std::string text(100'000, '\0');
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 % 251);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(client.ping(text)) << i;
    EXPECT_TRUE(client.close_cleanly());
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.reason, "completed") << line.raw;
    EXPECT_EQ(line.bytes_to_backend, 50U * text.size() + 4) << line.raw;
    EXPECT_EQ(backend.wait_over(1).at(0).end, TlsEnd::notified);
}

TEST_F(TlsUpstream, failed_handshake_is_an_attempt_and_another_backend_serves) {
    TlsEchoServer bad({.pair = pki.issue("bad", {.names = {"DNS:b.example"}})});
    TlsEchoServer good({.pair = local()});
    ConfigText config = to(bad.text());
    config.services[0].backends.push_back(good.text());
    config.services[0].balance = "first";
    ProxyProcess proxy(config);
    EXPECT_TRUE(echo_once(proxy.address())) << proxy.errors();
    const LogLine line = expect_lines(proxy, 1).at(0);
    ASSERT_EQ(line.attempts.size(), 2U) << line.raw;
    EXPECT_EQ(line.attempts[0].error, "tls") << line.raw;
    EXPECT_EQ(line.attempts[1].error, "") << line.raw;
    EXPECT_EQ(metrics_of(proxy).sum("penstock_backend_connect_failures_total",
                                    {"backend=\"b0\"", "error=\"tls\""}),
              1);
}

// ---- What the proxy says of itself

TEST_F(TlsUpstream, shows_its_certificate) {
    const Pair own = pki.client("penstock");
    TlsEchoServer backend({.pair = local(), .client_ca = pki.ca_file()});
    ProxyProcess proxy(to(backend.text(), "client_certificate = " + certificate_entry(own)));
    EXPECT_TRUE(echo_once(proxy.address())) << proxy.errors();
    EXPECT_EQ(backend.wait_over(1).at(0).client_common_name, "penstock");
    EXPECT_EQ(metrics_of(proxy).sum("penstock_tls_certificate_not_after_timestamp_seconds",
                                    {"owner=\"in\"", "file=\"" + own.cert_file + "\""}),
              static_cast<double>(own.not_after));
}

TEST_F(TlsUpstream, without_the_certificate_that_is_asked_for_there_is_no_way_in) {
    TlsEchoServer backend(
        {.pair = local(), .client_ca = pki.ca_file(), .max_version = TlsVersion::tls12});
    ProxyProcess proxy(to(backend.text(), "", "attempts = 1\n"));
    EXPECT_FALSE(echo_once(proxy.address()));
    EXPECT_EQ(expect_lines(proxy, 1).at(0).attempts.at(0).error, "tls");
}

TEST_F(TlsUpstream, sessions_are_resumed_unless_told_otherwise) {
    const Pair pair = local();
    for (const bool reuse : {true, false})
        for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
            TlsEchoServer backend({.pair = pair, .max_version = version});
            ProxyProcess proxy(to(backend.text(), reuse ? "" : "session_reuse = false"));
            for (int i = 0; i < 4; ++i) EXPECT_TRUE(echo_once(proxy.address()));
            const auto visits = backend.wait_over(4);
            EXPECT_EQ(std::ranges::count_if(visits, &TlsVisit::resumed), reuse ? 3 : 0)
                << name_of(visits.at(0).end) << " " << visits.at(0).version;
        }
}

TEST_F(TlsUpstream, min_version_holds_towards_backends) {
    TlsEchoServer backend({.pair = local(), .max_version = TlsVersion::tls12});
    ConfigText config = to(backend.text(), "min_version = \"1.3\"", "attempts = 1\n");
    ProxyProcess proxy(config);
    EXPECT_FALSE(echo_once(proxy.address()));
    EXPECT_EQ(expect_lines(proxy, 1).at(0).attempts.at(0).error, "tls");
}

TEST_F(TlsUpstream, authorities_are_watched) {
    Pki other(files, "other");
    const std::string bundle = pki.write("bundle.pem", read_file(other.ca_file()));
    TlsEchoServer backend({.pair = local()});
    ProxyProcess proxy(one_service({backend.text()}, "", encrypts(bundle) + "attempts = 1\n"));
    EXPECT_FALSE(echo_once(proxy.address()));
    std::filesystem::rename(pki.write("bundle.new", read_file(pki.ca_file())), bundle);
    EXPECT_TRUE(wait_for([&] { return echo_once(proxy.address()).has_value(); })) << proxy.errors();
}

// ---- Warm connections and checks

TEST_F(TlsUpstream, warm_connections_have_done_their_handshake) {
    TlsEchoServer backend({.pair = local()});
    ProxyProcess proxy(to(backend.text(), "", "pool = { min_idle = 3, max_age = \"5m\" }\n"));
    ASSERT_TRUE(wait_for([&] { return backend.established() >= 3; })) << proxy.errors();
    EXPECT_TRUE(echo_once(proxy.address()));
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_TRUE(line.warm) << line.raw;
    EXPECT_EQ(line.reason, "completed") << line.raw;
}

TEST_F(TlsUpstream, warm_connection_whose_server_speaks_first_keeps_what_it_said) {
    TlsEchoServer backend(
        {.pair = local(), .script = [](TlsStream& stream, const ChaosBackend& self) {
             stream.send("220 welcome\r\n");
             tls_scripts::echo()(stream, self);
         }});
    ProxyProcess proxy(to(backend.text(), "", "pool = { min_idle = 1, max_age = \"5m\" }\n"));
    ASSERT_TRUE(wait_for([&] { return backend.established() >= 1; })) << proxy.errors();
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    EXPECT_EQ(client->receive_text(13), "220 welcome\r\n");
    EXPECT_TRUE(ping(*client));
}

TEST_F(TlsUpstream, checks_speak_tls_as_traffic_does) {
    TlsEchoServer good({.pair = local()});
    TlsEchoServer bad({.pair = pki.issue("bad", {.names = {"DNS:b.example"}})});
    ConfigText config = to(good.text(), "",
                           "health_check = { type = \"tls\", interval = \"100ms\", "
                           "fast_interval = \"100ms\" }\n");
    config.services[0].backends.push_back(bad.text());
    ProxyProcess proxy(config);
    const auto up = [&](const char* backend) {
        return metrics_of(proxy).sum("penstock_backend_check_up",
                                     {"backend=\"" + std::string(backend) + "\""});
    };
    EXPECT_TRUE(wait_for([&] { return up("b0") == 1 && up("b1") == 0; })) << proxy.errors();
    EXPECT_TRUE(echo_once(proxy.address()));
}

}  // namespace
}  // namespace penstock::test
