#include <thread>

#include <openssl/ssl.h>

#include "net/tls/handles.hpp"
#include "tests/support/deadline.hpp"
#include "tests/unit/net/tls/tls_pair.hpp"

namespace penstock::net::tls {
namespace {

using namespace std::chrono_literals;

class TlsServerTest : public TlsTest {
protected:
    std::string served_to(const std::string& name) {
        connect(name);
        EXPECT_TRUE(shake());
        return client->shaken == IoStatus::ok ? client->stream->peer_common_name() : "refused";
    }

    void expect_failure(Failure failure, std::string_view text) {
        connect();
        ASSERT_TRUE(shake());
        EXPECT_EQ(server->shaken, IoStatus::error);
        EXPECT_EQ(server->stream->failure(), failure);
        EXPECT_NE(server->stream->error_text().find(text), std::string_view::npos)
            << server->stream->error_text();
    }

    void ask_for_clients(ClientAuth auth) {
        server_options.client_auth = auth;
        server_options.client_ca_file = "/t/clients.pem";
        server_options.client_ca_pem = test_authority().cert_pem;
    }

    void renew_contexts() {
        server_context = nullptr;
        client_context = nullptr;
        make_contexts();
    }

    /// What a second connection does with the session of the first.
    bool resumes(ClientSession session) {
        connect("a.test", &session);
        EXPECT_TRUE(shake());
        return server->shaken == IoStatus::ok && server->stream->resumed();
    }

    /// Resumes the session, then the one that came of that, until the server asks for a full
    /// handshake; false if it never does.
    bool ends_at_last(ClientSession session) {
        return test::wait_for([&] {
            if (!resumes(std::move(session))) return true;
            session = session_after_round_trip();
            return false;
        });
    }

    ClientSession first_session() {
        establish();
        return session_after_round_trip();
    }
};

TEST_F(TlsServerTest, the_name_asked_for_chooses_the_certificate) {
    server_options.certificates.push_back(certificate_for("b.test").pair());
    server_options.certificates.push_back(certificate_for("*.w.test").pair());
    server_options.certificates.push_back(certificate_for("x.w.test").pair());
    client_options.verify = false;
    EXPECT_EQ(served_to("a.test"), "a.test");
    EXPECT_EQ(served_to("b.test"), "b.test");
    EXPECT_EQ(served_to("B.Test"), "b.test");
    EXPECT_EQ(served_to("y.w.test"), "*.w.test");
    EXPECT_EQ(served_to("x.w.test"), "x.w.test") << "exact goes first";
    EXPECT_EQ(served_to("z.y.w.test"), "a.test") << "a wildcard stands for one label";
    EXPECT_EQ(served_to("w.test"), "a.test");
    EXPECT_EQ(served_to(""), "a.test");
}

TEST_F(TlsServerTest, both_types_of_key_for_one_name_are_usable) {
    for (const char* first : {"a.test", "other.test"}) {
        SCOPED_TRACE(first);
        server_options.certificates = {certificate_for(first).pair(),
                                       certificate_for("a.test").pair(),
                                       certificate_for("a.test", 2048).pair()};
        server_options.max_version = Version::tls12;
        for (const auto& [ciphers, expected] :
             {std::pair{"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
              std::pair{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"}}) {
            server_options.ciphers = ciphers;
            renew_contexts();
            EXPECT_EQ(served_to("a.test"), "a.test");
            EXPECT_EQ(client->stream->cipher(), expected);
        }
    }
}

TEST_F(TlsServerTest, strict_sni_refuses_names_that_nobody_knows) {
    server_options.strict_sni = true;
    server_options.known_names = {"routed.test", "*.r.test"};
    client_options.verify = false;
    EXPECT_EQ(served_to("a.test"), "a.test");
    EXPECT_EQ(served_to("routed.test"), "a.test");
    EXPECT_EQ(served_to("x.r.test"), "a.test");
    EXPECT_EQ(served_to("z.y.x.r.test"), "a.test") << "the star of a route covers many labels";
    EXPECT_EQ(served_to("r.test"), "refused");
    EXPECT_EQ(served_to(".r.test"), "refused");
    EXPECT_EQ(served_to("unknown.test"), "refused");
    EXPECT_EQ(server->stream->failure(), Failure::unknown_name);
    EXPECT_EQ(server->stream->error_text(), "no certificate for unknown.test");
    EXPECT_NE(client->stream->error_text().find("unrecognized name"), std::string_view::npos)
        << client->stream->error_text();
    EXPECT_EQ(served_to(""), "refused");
    EXPECT_EQ(server->stream->failure(), Failure::unknown_name);
}

TEST_F(TlsServerTest, T18_protocols_without_overlap_are_refused_and_none_at_all_passes) {
    server_options.alpn = {"h2"};
    establish();
    EXPECT_EQ(server->stream->alpn(), "");
    client_options.alpn = {"h3", std::string(255, 'x')};
    renew_contexts();
    expect_failure(Failure::failed, "");
    EXPECT_NE(client->stream->error_text().find("no application protocol"), std::string_view::npos)
        << client->stream->error_text();
    client_options.alpn.emplace_back("h2");
    renew_contexts();
    establish();
    EXPECT_EQ(server->stream->alpn(), "h2");
}

TEST_F(TlsServerTest, T11_client_certificates) {
    const auto good = certificate_for("client.test");
    const auto stranger_ca = make_certificate({.common_name = "Stranger", .authority = true});
    const auto stranger = make_certificate({.common_name = "s", .names = {"DNS:s"}}, &stranger_ca);
    const auto expired = make_certificate(
        {.common_name = "old", .names = {"DNS:old"}, .from_days = -9, .to_days = -2},
        &test_authority());
    ask_for_clients(ClientAuth::required);
    for (const auto version : {Version::tls12, Version::tls13}) {
        server_options.max_version = version;
        server_options.client_auth = ClientAuth::required;
        client_options.certificate = {};
        renew_contexts();
        expect_failure(Failure::client_cert, "did not return a certificate");
        client_options.certificate = {stranger.pair()};
        renew_contexts();
        expect_failure(Failure::client_cert, "unable to get local issuer certificate (s)");
        client_options.certificate = {expired.pair()};
        renew_contexts();
        expect_failure(Failure::client_cert, "certificate has expired (old)");
        client_options.certificate = {good.pair()};
        renew_contexts();
        establish();
        EXPECT_EQ(server->stream->peer_common_name(), "client.test");
        server_options.client_auth = ClientAuth::optional;
        client_options.certificate = {};
        renew_contexts();
        establish();
        client_options.certificate = {stranger.pair()};
        renew_contexts();
        expect_failure(Failure::client_cert, "(s)");
    }
}

TEST_F(TlsServerTest, T11_only_allowed_names_of_clients_enter) {
    ask_for_clients(ClientAuth::required);
    const auto enters = [this](const CertificateSpec& spec, const std::string& allowed) {
        client_options.certificate = {make_certificate(spec, &test_authority()).pair()};
        server_options.client_names = {allowed};
        renew_contexts();
        connect();
        EXPECT_TRUE(shake());
        if (server->shaken == IoStatus::error) {
            EXPECT_EQ(server->stream->failure(), Failure::client_cert);
            EXPECT_NE(server->stream->error_text().find("none of its names is allowed"),
                      std::string_view::npos)
                << server->stream->error_text();
        }
        return server->shaken == IoStatus::ok;
    };
    EXPECT_TRUE(enters({.names = {"DNS:A.svc.test"}}, "a.svc.test"));
    EXPECT_TRUE(enters({.names = {"DNS:b.test", "DNS:a.svc.test"}}, "*.svc.test"));
    EXPECT_TRUE(enters({.names = {"URI:spiffe://td/ns/web"}}, "spiffe://td/ns/web"));
    EXPECT_TRUE(enters({.names = {"IP:10.0.0.1"}}, "10.0.0.1"));
    EXPECT_TRUE(enters({.names = {"email:joe@a.test"}}, "joe@a.test"));
    EXPECT_FALSE(enters({.names = {"DNS:x.a.svc.test"}}, "*.svc.test")) << "one label";
    EXPECT_FALSE(enters({.names = {"DNS:*.svc.test"}}, "*.svc.test")) << "a pattern is no name";
    EXPECT_FALSE(enters({.names = {"URI:spiffe://td/ns/web/x"}}, "spiffe://td/ns/web"));
    EXPECT_FALSE(enters({.common_name = "a.svc.test"}, "a.svc.test"))
        << "common names do not count";
    EXPECT_FALSE(enters({.raw_dns_name = std::string("a.svc.test\0.evil.test", 21)}, "a.svc.test"));
    EXPECT_FALSE(enters({.names = {"URI:a.svc.test"}}, "*.svc.test"));
}

TEST_F(TlsServerTest, revoked_clients_and_those_of_revoked_authorities_are_refused) {
    const auto middle =
        make_certificate({.common_name = "Middle", .authority = true}, &test_authority());
    const auto leaf = make_certificate({.common_name = "leaf", .names = {"DNS:leaf"}}, &middle);
    ask_for_clients(ClientAuth::required);
    client_options.certificate = {leaf.pair(middle.cert_pem)};
    server_options.client_crl_file = "/t/crl.pem";
    const auto with_lists = [&](const std::vector<long>& root, const std::vector<long>& below,
                                long days = 30) {
        server_options.client_crl_pem =
            make_crl(test_authority(), root, days) + make_crl(middle, below);
        renew_contexts();
    };
    with_lists({}, {});
    establish();
    with_lists({}, {leaf.serial});
    expect_failure(Failure::client_cert, "certificate revoked (leaf)");
    with_lists({middle.serial}, {});
    expect_failure(Failure::client_cert, "certificate revoked (Middle)");
    with_lists({}, {}, -1);
    expect_failure(Failure::client_cert, "CRL has expired");
}

TEST_F(TlsServerTest, sessions_are_resumed_with_sealed_tickets_and_with_cached_sessions) {
    for (const auto version : {Version::tls12, Version::tls13}) {
        for (const bool sealed : {true, false}) {
            SCOPED_TRACE(testing::Message() << "TLS 1." << (version == Version::tls12 ? 2 : 3)
                                            << (sealed ? " sealed" : " cached"));
            server_options.max_version = version;
            server_options.session_tickets = sealed;
            renew_contexts();
            auto session = first_session();
            ASSERT_TRUE(session);
            EXPECT_TRUE(resumes(std::move(session)));
            EXPECT_TRUE(session_after_round_trip()) << "which may be resumed in its turn";
        }
    }
}

TEST_F(TlsServerTest, no_session_lives_longer_because_it_is_resumed) {
    server_options.session_lifetime = 2s;
    for (const auto version : {Version::tls12, Version::tls13})
        for (const bool sealed : {true, false}) {
            SCOPED_TRACE(testing::Message() << static_cast<int>(version) << sealed);
            server_options.max_version = version;
            server_options.session_tickets = sealed;
            renew_contexts();
            EXPECT_TRUE(ends_at_last(first_session()));
            EXPECT_EQ(server->shaken, IoStatus::ok) << "a full handshake";
        }
}

// Neither is looked at again when a session is resumed.
TEST_F(TlsServerTest, a_session_ends_with_the_list_of_revocations_and_with_every_certificate) {
    const auto ends = [this](auto issue) {
        return test::in_one_of_three_windows([&, seconds = 1L]() mutable {
            seconds *= 2;
            issue(seconds);
            renew_contexts();
            connect();
            EXPECT_TRUE(shake());
            if (server->shaken != IoStatus::ok) return false;
            auto session = session_after_round_trip();
            if (!resumes(std::move(session))) return false;
            EXPECT_TRUE(ends_at_last(session_after_round_trip()));
            // It may end within the same second a little earlier.
            EXPECT_TRUE(test::wait_for([&] {
                connect();
                return shake() && server->shaken == IoStatus::error;
            })) << "a full handshake";
            return true;
        });
    };
    ask_for_clients(ClientAuth::required);
    for (const auto version : {Version::tls12, Version::tls13})
        for (const bool sealed : {true, false}) {
            SCOPED_TRACE(testing::Message() << static_cast<int>(version) << sealed);
            server_options.max_version = version;
            server_options.session_tickets = sealed;
            EXPECT_TRUE(ends([this](long seconds) {
                client_options.certificate = {certificate_for("client.test").pair()};
                server_options.client_crl_pem = make_crl(test_authority(), {}, 0, seconds);
            }));
            server_options.client_crl_pem.clear();
            EXPECT_TRUE(ends([this](long seconds) {
                const auto middle = make_certificate({.common_name = "Middle",
                                                      .to_days = 0,
                                                      .to_seconds = seconds,
                                                      .authority = true},
                                                     &test_authority());
                client_options.certificate = {
                    make_certificate({.names = {"DNS:leaf"}}, &middle).pair(middle.cert_pem)};
            }));
        }
}

TEST_F(TlsServerTest, a_certificate_without_end_has_sessions) {
    ask_for_clients(ClientAuth::required);
    client_options.certificate = {
        make_certificate({.names = {"DNS:leaf"}, .to_days = 7900L * 365}, &test_authority())
            .pair()};
    for (const auto version : {Version::tls12, Version::tls13}) {
        server_options.max_version = version;
        renew_contexts();
        EXPECT_TRUE(resumes(first_session()));
    }
}

TEST_F(TlsServerTest, no_sessions_where_both_kinds_are_off) {
    server_options.session_tickets = false;
    server_options.session_cache = 0;
    EXPECT_FALSE(first_session());
}

TEST_F(TlsServerTest, T12_sessions_of_other_rules_for_clients_are_not_resumed) {
    const auto client_certificate = certificate_for("client.test");
    for (const auto version : {Version::tls12, Version::tls13}) {
        client_options.certificate = {client_certificate.pair()};
        const auto refused_after = [&](auto change) {
            server_options = {.name = "front",
                              .certificates = {certificate_for("a.test").pair()},
                              .max_version = version};
            ask_for_clients(ClientAuth::optional);
            renew_contexts();
            auto session = first_session();
            EXPECT_TRUE(session);
            change();
            auto made = ServerContext::make(server_options, tickets);
            EXPECT_TRUE(made);
            server_context = *made;
            const bool reused = resumes(std::move(session));
            EXPECT_EQ(server->shaken, IoStatus::ok) << server->stream->error_text();
            return !reused;
        };
        EXPECT_FALSE(refused_after([] {})) << "the same rules";
        EXPECT_TRUE(refused_after([this] { server_options.name = "other"; }));
        EXPECT_TRUE(refused_after([this] { ask_for_clients(ClientAuth::required); }));
        EXPECT_TRUE(refused_after([this] { server_options.client_names = {"client.test"}; }));
        EXPECT_TRUE(refused_after([this] {
            server_options.client_ca_pem +=
                make_certificate({.common_name = "More", .authority = true}).cert_pem;
        }));
        EXPECT_TRUE(refused_after(
            [this] { server_options.client_crl_pem = make_crl(test_authority(), {}); }));
    }
}

/// OpenSSL's own client of TLS 1.2, which offers any session to anybody.
class TlsStrangerTest : public TlsServerTest {
protected:
    using SessionPtr = std::unique_ptr<SSL_SESSION, FreeWith<SSL_SESSION_free>>;

    SessionPtr visit(const char* name, SSL_SESSION* resume = nullptr) {
        connect();
        client->stream.reset();
        const std::unique_ptr<SSL, FreeWith<SSL_free>> ssl(SSL_new(context.get()));
        SSL_set_fd(ssl.get(), client->socket.fd());
        SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(name));
        if (resume != nullptr) SSL_set_session(ssl.get(), resume);
        bool done = false;
        EXPECT_TRUE(turn_until(loop, [&] {
            if (!done) {
                const int result = SSL_connect(ssl.get());
                done = result == 1 || SSL_get_error(ssl.get(), result) != SSL_ERROR_WANT_READ;
            }
            step(*server);
            return done && settled(*server);
        }));
        SessionPtr session(SSL_get1_session(ssl.get()));
        SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        return session;
    }

    ContextPtr context{SSL_CTX_new(TLS_client_method())};
};

TEST_F(TlsStrangerTest, a_session_is_good_for_the_name_that_it_was_made_for) {
    SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    server_options.certificates.push_back(certificate_for("b.test").pair());
    server_options.strict_sni = true;
    for (const bool sealed : {true, false}) {
        SCOPED_TRACE(sealed);
        server_options.session_tickets = sealed;
        renew_contexts();
        const auto session = visit("a.test");
        ASSERT_EQ(server->shaken, IoStatus::ok) << server->stream->error_text();
        visit("b.test", session.get());
        EXPECT_EQ(server->shaken, IoStatus::ok) << server->stream->error_text();
        EXPECT_FALSE(server->stream->resumed());
        EXPECT_EQ(server->stream->server_name(), "b.test");
        visit("A.test", session.get());
        EXPECT_TRUE(server->stream->resumed());
        EXPECT_EQ(server->stream->server_name(), "a.test");
        visit("unknown.test", session.get());
        EXPECT_EQ(server->stream->failure(), Failure::unknown_name);
        EXPECT_EQ(server->stream->server_name(), "unknown.test");
    }
}

TEST_F(TlsStrangerTest, an_address_is_no_name) {
    server_options.certificates.push_back(
        make_certificate({.names = {"IP:10.0.0.1"}}, &test_authority()).pair());
    server_options.strict_sni = true;
    visit("10.0.0.1");
    EXPECT_EQ(server->stream->failure(), Failure::unknown_name);
    EXPECT_EQ(server->stream->error_text(), "no certificate for 10.0.0.1");
    EXPECT_EQ(server->stream->server_name(), "");
}

TEST_F(TlsServerTest, T13_tickets_outlive_a_reload_and_some_rotations) {
    const TimePoint start{std::chrono::hours(1)};
    auto session = first_session();
    tickets->rotate_if_due(start);
    for (std::size_t i = 1; i <= TicketKeys::kept; ++i)
        tickets->rotate_if_due(start + i * TicketKeys::rotation);
    renew_contexts();
    EXPECT_TRUE(resumes(std::move(session)));
    EXPECT_TRUE(session_after_round_trip()) << "sealed with the newest key";
}

TEST_F(TlsServerTest, T13_a_ticket_whose_key_is_gone_means_a_full_handshake) {
    const TimePoint start{std::chrono::hours(1)};
    auto session = first_session();
    tickets->rotate_if_due(start);
    for (std::size_t i = 1; i <= TicketKeys::kept + 1; ++i)
        tickets->rotate_if_due(start + i * TicketKeys::rotation);
    EXPECT_FALSE(resumes(std::move(session)));
    EXPECT_EQ(server->shaken, IoStatus::ok);
}

TEST_F(TlsServerTest, T13_instances_share_keys_of_both_sizes) {
    for (const std::size_t size : {80U, 48U}) {
        const auto key = parse_ticket_key(std::string(size, 'k'));
        ASSERT_TRUE(key);
        tickets = std::make_shared<TicketKeys>();
        tickets->use_shared({*key});
        renew_contexts();
        auto session = first_session();
        tickets = std::make_shared<TicketKeys>();
        tickets->use_shared({*parse_ticket_key(std::string(80, 'n')), *key});
        renew_contexts();
        EXPECT_TRUE(resumes(std::move(session)));
    }
}

// The ticket goes with the first answer. One that was sent at the end of the handshake would be
// answered with a reset here, which may fail the handshake and overtake what the client has sent.
TEST_F(TlsServerTest, T7_what_a_client_sends_before_it_closes_without_reading_arrives) {
    make_contexts();
    const std::string text(3000, 'x');
    std::array<std::byte, 8192> buffer;
    for (int i = 0; i < 1000; ++i) {
        SCOPED_TRACE(i);
        connect();
        ASSERT_TRUE(turn_until(loop, [this] {
            step(*client);
            if (client->shaken != IoStatus::ok) step(*server);
            return client->shaken == IoStatus::ok;
        }));
        ASSERT_EQ(client->stream->send(std::as_bytes(std::span(text))).bytes, text.size());
        client->stream->shutdown_write();
        client->stream.reset();
        client->socket.close();
        std::size_t got = 0;
        IoStatus status = IoStatus::ok;
        ASSERT_TRUE(turn_until(loop, [&] {
            step(*server);
            if (server->shaken != IoStatus::ok) return server->shaken == IoStatus::error;
            IoResult result = server->stream->recv(buffer);
            for (; result.ok(); result = server->stream->recv(buffer)) got += result.bytes;
            status = result.status;
            return status == IoStatus::eof || status == IoStatus::error;
        }));
        ASSERT_EQ(server->shaken, IoStatus::ok) << server->stream->error_text();
        ASSERT_EQ(got, text.size());
        ASSERT_EQ(status, IoStatus::eof);
        ASSERT_FALSE(server->socket.check_error()) << "the client has answered with a reset";
    }
}

}  // namespace
}  // namespace penstock::net::tls
