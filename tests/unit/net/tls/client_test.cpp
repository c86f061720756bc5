#include "net/tls/memory_client.hpp"
#include "tests/support/deadline.hpp"
#include "tests/unit/net/tls/tls_pair.hpp"

namespace penstock::net::tls {
namespace {

using namespace std::chrono_literals;

class TlsClientTest : public TlsTest {
protected:
    /// "ok", or why the client does not believe a server with this certificate.
    std::string verdict(const KeyPair& shown, const std::string& name = "a.test") {
        server_options.certificates = {shown};
        server_context = nullptr;
        make_contexts();
        connect(name);
        EXPECT_TRUE(shake());
        if (client->shaken == IoStatus::ok) return "ok";
        EXPECT_EQ(client->stream->failure(), Failure::failed);
        return std::string(client->stream->error_text());
    }
    std::string verdict(const CertificateSpec& spec, const std::string& name = "a.test") {
        return verdict(make_certificate(spec, &test_authority()).pair(), name);
    }
};

TEST_F(TlsClientTest, T10_names_are_those_of_the_alternative_names_alone) {
    EXPECT_EQ(verdict({.names = {"DNS:a.test"}}), "ok");
    EXPECT_EQ(verdict({.names = {"DNS:a.test"}}, "A.TEST."), "ok");
    EXPECT_EQ(verdict({.names = {"DNS:b.test", "DNS:a.test"}}), "ok");
    EXPECT_EQ(verdict({.common_name = "cn", .names = {"DNS:b.test"}}), "hostname mismatch (cn)");
    EXPECT_EQ(verdict({.common_name = "a.test"}), "hostname mismatch (a.test)")
        << "a common name is no host name";
    EXPECT_EQ(verdict({.common_name = "nul", .raw_dns_name = std::string("a.test\0.evil", 12)}),
              "hostname mismatch (nul)");
}

TEST_F(TlsClientTest, T10_wildcards_stand_for_one_whole_label) {
    EXPECT_EQ(verdict({.names = {"DNS:*.w.test"}}, "x.w.test"), "ok");
    EXPECT_EQ(verdict({.common_name = "w", .names = {"DNS:*.w.test"}}, "y.x.w.test"),
              "hostname mismatch (w)");
    EXPECT_EQ(verdict({.common_name = "w", .names = {"DNS:*.w.test"}}, "w.test"),
              "hostname mismatch (w)");
    EXPECT_EQ(verdict({.common_name = "w", .names = {"DNS:x*.w.test"}}, "xy.w.test"),
              "hostname mismatch (w)");
}

TEST_F(TlsClientTest, T10_addresses_are_compared_with_addresses_and_not_sent_as_names) {
    EXPECT_EQ(verdict({.names = {"IP:10.0.0.1"}}, "10.0.0.1"), "ok");
    EXPECT_EQ(server->stream->server_name(), "");
    EXPECT_EQ(verdict({.names = {"IP:2001:db8::1"}}, "2001:db8::1"), "ok");
    EXPECT_EQ(verdict({.common_name = "ip", .names = {"IP:10.0.0.2"}}, "10.0.0.1"),
              "IP address mismatch (ip)");
    EXPECT_EQ(verdict({.common_name = "ip", .names = {"DNS:10.0.0.1"}}, "10.0.0.1"),
              "IP address mismatch (ip)");
}

TEST_F(TlsClientTest, T10_without_a_name_to_look_for_nobody_is_believed) {
    EXPECT_EQ(verdict({.common_name = "cn", .names = {"DNS:a.test"}}, ""),
              "hostname mismatch (cn)");
    client_options.verify = false;
    EXPECT_EQ(verdict({.names = {"DNS:a.test"}}, ""), "ok");
}

TEST_F(TlsClientTest, T10_validity_and_trust) {
    EXPECT_EQ(
        verdict({.common_name = "old", .names = {"DNS:a.test"}, .from_days = -9, .to_days = -2}),
        "certificate has expired (old)");
    EXPECT_EQ(verdict({.common_name = "new", .names = {"DNS:a.test"}, .from_days = 2}),
              "certificate is not yet valid (new)");
    EXPECT_EQ(verdict(make_certificate({.common_name = "self", .names = {"DNS:a.test"}}).pair()),
              "self-signed certificate (self)");
    const auto stranger = make_certificate({.common_name = "Stranger", .authority = true});
    EXPECT_EQ(
        verdict(make_certificate({.common_name = "s", .names = {"DNS:a.test"}}, &stranger).pair()),
        "unable to get local issuer certificate (s)");
    client_options.verify = false;
    EXPECT_EQ(verdict(make_certificate({.common_name = "self"}).pair()), "ok");
}

TEST_F(TlsClientTest, T10_revoked) {
    const auto leaf =
        make_certificate({.common_name = "leaf", .names = {"DNS:a.test"}}, &test_authority());
    client_options.crl_file = "/t/crl.pem";
    client_options.crl_pem = make_crl(test_authority(), {leaf.serial + 1});
    EXPECT_EQ(verdict(leaf.pair()), "ok");
    client_options.crl_pem = make_crl(test_authority(), {leaf.serial});
    EXPECT_EQ(verdict(leaf.pair()), "certificate revoked (leaf)");
}

TEST_F(TlsClientTest, T10_chains_are_bounded_in_length_and_bytes) {
    const auto chain_of = [this](std::size_t middles) {
        std::string above;
        TestCertificate issuer = test_authority();
        for (std::size_t i = 0; i < middles; ++i) {
            issuer = make_certificate({.common_name = "m" + std::to_string(i), .authority = true},
                                      &issuer);
            above = issuer.cert_pem + above;
        }
        return verdict(make_certificate({.common_name = "leaf", .names = {"DNS:a.test"}}, &issuer)
                           .pair(above));
    };
    EXPECT_EQ(chain_of(10), "ok");
    EXPECT_NE(chain_of(12), "ok");
    EXPECT_EQ(chain_of(200), "excessive message size");
}

TEST_F(TlsClientTest, shows_its_certificate_where_it_is_asked) {
    server_options.client_auth = ClientAuth::required;
    server_options.client_ca_pem = test_authority().cert_pem;
    client_options.certificate = {certificate_for("me.test").pair()};
    establish();
    EXPECT_EQ(server->stream->peer_common_name(), "me.test");
    ASSERT_EQ(client_context->certificates().size(), 2U);
    EXPECT_EQ(client_context->certificates().front().subject, "CN=me.test");
}

TEST_F(TlsClientTest, a_session_is_resumed_for_the_same_name_under_the_same_trust_only) {
    for (const auto version : {Version::tls12, Version::tls13}) {
        server_options.max_version = version;
        server_options.certificates = {
            make_certificate({.names = {"DNS:a.test", "DNS:b.test"}}, &test_authority()).pair()};
        server_context = nullptr;
        const auto resumed = [this](const std::string& name, auto change) {
            make_contexts();
            establish();
            auto session = session_after_round_trip();
            EXPECT_TRUE(session);
            change();
            auto made = ClientContext::make(client_options);
            EXPECT_TRUE(made);
            client_context = *made;
            establish(name, &session);
            EXPECT_FALSE(session) << "consumed";
            return client->stream->resumed();
        };
        EXPECT_TRUE(resumed("a.test", [] {}));
        EXPECT_FALSE(resumed("b.test", [] {}));
        EXPECT_FALSE(
            resumed("a.test", [this] { client_options.crl_pem = make_crl(test_authority(), {}); }));
        client_options.crl_pem.clear();
    }
    client_options.session_reuse = false;
    make_contexts();
    establish();
    EXPECT_FALSE(session_after_round_trip());
}

// It is not shown again, and the session may be good for longer.
TEST_F(TlsClientTest, a_session_does_not_outlive_the_certificate_of_the_server) {
    client_options.verify = false;  // or there would be none to resume
    for (const auto version : {Version::tls12, Version::tls13}) {
        server_options.max_version = version;
        for (const long days : {90L, -2L}) {
            server_options.certificates = {
                make_certificate({.names = {"DNS:a.test"}, .from_days = -9, .to_days = days},
                                 &test_authority())
                    .pair()};
            make_contexts();
            establish();
            auto session = session_after_round_trip();
            EXPECT_TRUE(session);
            establish("a.test", &session);
            EXPECT_EQ(client->stream->resumed(), days > 0);
        }
    }
}

// The server may give a new ticket each time, good for days.
TEST_F(TlsClientTest, a_session_lives_no_longer_because_it_is_resumed) {
    client_options.session_lifetime = 2s;
    for (const auto version : {Version::tls12, Version::tls13}) {
        server_options.max_version = version;
        make_contexts();
        establish();
        auto session = session_after_round_trip();
        EXPECT_TRUE(test::wait_for([&] {
            establish("a.test", &session);
            session = session_after_round_trip();
            return !client->stream->resumed();
        }));
    }
}

TEST_F(TlsClientTest, a_session_ends_with_the_list_of_revocations) {
    for (const auto version : {Version::tls12, Version::tls13}) {
        server_options.max_version = version;
        EXPECT_TRUE(test::in_one_of_three_windows([&, seconds = 1L]() mutable {
            seconds *= 2;
            client_options.crl_pem = make_crl(test_authority(), {}, 0, seconds);
            make_contexts();
            connect();
            EXPECT_TRUE(shake());
            if (client->shaken != IoStatus::ok) return false;
            auto session = session_after_round_trip();
            connect("a.test", &session);
            EXPECT_TRUE(shake());
            if (!client->stream->resumed()) return false;
            EXPECT_TRUE(test::wait_for([&] {
                session = session_after_round_trip();
                connect("a.test", &session);
                EXPECT_TRUE(shake());
                return client->shaken != IoStatus::ok;
            }));
            EXPECT_EQ(client->stream->error_text(), "CRL has expired (a.test)");
            return true;
        }));
    }
}

// What a check does: the bytes go from hand to hand.
TEST_F(TlsClientTest, a_client_without_a_socket_verifies_as_a_stream_does) {
    const auto says = [this](const std::string& name) {
        connect();
        client->stream.reset();
        MemoryClient check(*client_context, name);
        MemoryClient::Step last{MemoryClient::Status::needs_input};
        EXPECT_TRUE(turn_until(loop, [&] {
            last = check.handshake();
            const std::string out = check.take_output();
            if (!out.empty()) client->socket.send(std::as_bytes(std::span(out)));
            step(*server);
            std::array<std::byte, 16384> buffer;
            const auto got = client->socket.recv(buffer);
            if (got.ok()) check.feed({reinterpret_cast<const char*>(buffer.data()), got.bytes});
            return last.status != MemoryClient::Status::needs_input;
        }));
        return last.status == MemoryClient::Status::ok ? "ok" : check.error();
    };
    EXPECT_EQ(says("a.test"), "ok");
    EXPECT_EQ(says("b.test"), "hostname mismatch (a.test)");
}

}  // namespace
}  // namespace penstock::net::tls
