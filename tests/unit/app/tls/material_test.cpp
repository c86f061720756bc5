#include "app/tls/material.hpp"

#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temp_dir.hpp"
#include "tests/unit/net/tls/test_certificates.hpp"

namespace penstock::app {
namespace {

namespace fs = std::filesystem;
using net::tls::certificate_for;
using net::tls::TestCertificate;

bool mentions(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// A listener and an upstream whose files a test writes.
class MaterialTest : public testing::Test {
protected:
    /// Only its owner may read it, unless `mode` says otherwise.
    std::string file(const std::string& name, const std::string& text, mode_t mode = 0600) {
        const std::string path = directory.write(name, text);
        ::chmod(path.c_str(), mode);
        return path;
    }
    config::CertificateFile files_of(const std::string& name, const TestCertificate& certificate) {
        return {.cert = file(name + ".pem", certificate.cert_pem),
                .key = file(name + ".key", certificate.key_pem)};
    }
    config::Listener& tls_listener(std::vector<config::CertificateFile> certificates) {
        listener.name = "web";
        listener.tls.emplace();
        listener.tls->certificates = std::move(certificates);
        return listener;
    }
    std::expected<ServerMaterial, std::string> load(bool strict = false) {
        return load_server(listener, strict, book);
    }
    std::string refusal(bool strict = false) {
        const auto loaded = load(strict);
        return loaded ? "" : loaded.error();
    }

    test::TempDir directory;
    TicketKeyBook book;
    config::Listener listener;
    config::Upstream upstream;
};

TEST_F(MaterialTest, of_good_files_is_a_context_without_warnings) {
    tls_listener({files_of("a", certificate_for("a.test"))});
    const auto loaded = load();
    ASSERT_TRUE(loaded) << loaded.error();
    EXPECT_TRUE(loaded->context);
    EXPECT_TRUE(loaded->warnings.empty()) << loaded->warnings[0];
    ASSERT_EQ(loaded->context->certificates().size(), 1U);
    EXPECT_EQ(loaded->context->certificates()[0].file, listener.tls->certificates[0].cert);
}

TEST_F(MaterialTest, errors_name_the_file) {
    const auto good = files_of("a", certificate_for("a.test"));
    const std::string missing = (directory.path() / "missing.pem").string();
    tls_listener({{.cert = missing, .key = good.key}});
    EXPECT_TRUE(mentions(refusal(), missing)) << refusal();
    tls_listener({{.cert = good.cert, .key = missing}});
    EXPECT_TRUE(mentions(refusal(), missing)) << refusal();
    const std::string rubbish = file("rubbish.pem", "what is this?");
    tls_listener({{.cert = rubbish, .key = good.key}});
    EXPECT_TRUE(mentions(refusal(), rubbish)) << refusal();
    const auto other = files_of("b", certificate_for("b.test"));
    tls_listener({{.cert = good.cert, .key = other.key}});
    EXPECT_TRUE(mentions(refusal(), other.key) && mentions(refusal(), good.cert)) << refusal();
    tls_listener({good}).tls->client_ca = missing;
    EXPECT_TRUE(mentions(refusal(), missing)) << refusal();
    tls_listener({good}).tls->session_ticket_key_files = {file("short", std::string(79, 'k'))};
    EXPECT_TRUE(mentions(refusal(), "short") && mentions(refusal(), "79 bytes")) << refusal();
}

TEST_F(MaterialTest, a_key_that_others_can_read_is_a_warning_or_an_error) {
    const auto certificate = certificate_for("a.test");
    for (const mode_t mode : {0640U, 0604U, 0644U}) {
        tls_listener({{.cert = file("a.pem", certificate.cert_pem, 0644),
                       .key = file("a.key", certificate.key_pem, mode)}});
        const auto loaded = load();
        ASSERT_TRUE(loaded) << loaded.error();
        ASSERT_EQ(loaded->warnings.size(), 1U) << "and nobody minds that the certificate is public";
        EXPECT_TRUE(mentions(loaded->warnings[0], "a.key")) << loaded->warnings[0];
        EXPECT_TRUE(mentions(loaded->warnings[0], "chmod 600")) << loaded->warnings[0];
        EXPECT_TRUE(mentions(refusal(true), "a.key") &&
                    mentions(refusal(true), "strict_permissions"))
            << refusal(true);
    }
    tls_listener({files_of("a", certificate)}).tls->session_ticket_key_files = {
        file("ticket.key", std::string(80, 'k'), 0644)};
    EXPECT_TRUE(mentions(refusal(true), "ticket.key")) << refusal(true);
}

TEST_F(MaterialTest, a_password_that_others_can_read_is_a_warning_or_an_error) {
    const auto certificate = certificate_for("a.test");
    const auto with_mode = [&](mode_t mode) {
        tls_listener({{.cert = file("a.pem", certificate.cert_pem),
                       .key = file("a.key", net::tls::encrypt_key(certificate, "open sesame")),
                       .key_password_file = file("password", "open sesame\n", mode)}});
    };
    with_mode(0644);
    const auto loaded = load();
    ASSERT_TRUE(loaded) << loaded.error();
    ASSERT_EQ(loaded->warnings.size(), 1U);
    EXPECT_EQ(loaded->warnings[0], listener.tls->certificates[0].key_password_file +
                                       ": others than its owner can read it; chmod 600");
    EXPECT_TRUE(mentions(refusal(true), "password: others than its owner") &&
                mentions(refusal(true), "strict_permissions"))
        << refusal(true);
    with_mode(0602);
    EXPECT_TRUE(mentions(refusal(), "password: can be written by every user")) << refusal();
}

TEST_F(MaterialTest, one_file_may_hold_the_certificate_and_its_key) {
    const auto certificate = certificate_for("a.test");
    tls_listener({{.cert = file("both.pem", certificate.cert_pem + certificate.key_pem)}});
    EXPECT_EQ(refusal(), "");
}

TEST_F(MaterialTest, a_pattern_stands_for_all_files_that_match) {
    for (const char* name : {"a", "b", "c"}) {
        const auto certificate = certificate_for(std::string(name) + ".test");
        file(std::string(name) + ".pem", certificate.cert_pem + certificate.key_pem);
    }
    file("readme.txt", "not one of them");
    const std::string pattern = (directory.path() / "*.pem").string();
    tls_listener({{.cert = pattern}});
    const auto loaded = load();
    ASSERT_TRUE(loaded) << loaded.error();
    EXPECT_EQ(loaded->context->certificates().size(), 3U);
    const TlsPaths paths = tls_paths(listener);
    EXPECT_EQ(paths.patterns, std::vector{pattern});
    EXPECT_EQ(paths.files.size(), 3U);
    const std::string nothing = (directory.path() / "*.crt").string();
    tls_listener({{.cert = nothing}});
    EXPECT_EQ(refusal(), nothing + ": no file matches");
}

TEST_F(MaterialTest, the_digest_is_that_of_what_the_files_say) {
    const auto certificate = certificate_for("a.test");
    tls_listener({files_of("a", certificate)});
    const auto digest = load()->digest;
    files_of("a", certificate);  // written once more
    EXPECT_EQ(load()->digest, digest);
    files_of("a", certificate_for("a.test"));
    EXPECT_NE(load()->digest, digest);
    listener.tls->session_ticket_key_files = {file("ticket.key", std::string(80, 'k'))};
    files_of("a", certificate);
    const auto with_tickets = load();
    ASSERT_EQ(with_tickets->ticket_keys->size(), 1U);
    EXPECT_NE(with_tickets->digest, digest);
    file("ticket.key", std::string(80, 'l'));
    EXPECT_NE(load()->digest, with_tickets->digest);
}

TEST_F(MaterialTest, an_encrypted_key_needs_one_of_the_passwords) {
    const auto certificate = certificate_for("a.test");
    config::CertificateFile files{
        .cert = file("a.pem", certificate.cert_pem),
        .key = file("a.key", net::tls::encrypt_key(certificate, "open sesame")),
        .key_password_file = file("password", "wrong\r\n\nopen sesame\r\n")};
    tls_listener({files});
    EXPECT_EQ(refusal(), "");
    file("password", "wrong\n");
    EXPECT_TRUE(mentions(refusal(), "a.key")) << refusal();
    EXPECT_FALSE(mentions(refusal(), "wrong")) << refusal();
    file("password", "\n\n");
    EXPECT_TRUE(mentions(refusal(), "password: has no password in it")) << refusal();
    listener.tls->certificates[0].key_password_file = (directory.path() / "missing").string();
    EXPECT_TRUE(mentions(refusal(), "missing")) << refusal();
}

TEST_F(MaterialTest, a_password_may_come_from_a_fifo) {
    const auto certificate = certificate_for("a.test");
    const std::string path = (directory.path() / "fifo").string();
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    tls_listener({{.cert = file("a.pem", certificate.cert_pem),
                   .key = file("a.key", net::tls::encrypt_key(certificate, "open sesame")),
                   .key_password_file = path}});
    auto loading = std::async(std::launch::async, [&] { return refusal(true); });
    std::ofstream(path) << "wrong\nopen sesame\n" << std::flush;
    EXPECT_EQ(loading.get(), "");
}

TEST_F(MaterialTest, of_an_upstream_has_its_own_certificate) {
    upstream.name = "up";
    upstream.tls.emplace();
    upstream.tls->ca = file("ca.pem", net::tls::test_authority().cert_pem);
    upstream.tls->client_certificate = files_of("client", certificate_for("client.test"));
    const auto loaded = load_client(upstream, true);
    ASSERT_TRUE(loaded) << loaded.error();
    EXPECT_EQ(loaded->context->certificates().size(), 2U) << "its own, and the authority";
    const auto digest = loaded->digest;
    files_of("client", certificate_for("client.test"));
    EXPECT_NE(load_client(upstream, true)->digest, digest);
    file("client.key", "rubbish");
    EXPECT_TRUE(mentions(load_client(upstream, true).error(), "client.key"));
    EXPECT_EQ(tls_paths(upstream).files.size(), 3U);
}

TEST_F(MaterialTest, all_of_a_configuration_tells_every_error_and_whose_it_is) {
    config::Config config;
    const auto good = files_of("a", certificate_for("a.test"));
    config.listeners.resize(3);
    config.listeners[0] = tls_listener({good});
    config.listeners[1] = tls_listener({{.cert = "/nowhere/1.pem"}});
    config.listeners[1].name = "broken";
    config.listeners[2].name = "plain";
    config.upstreams.resize(1);
    config.upstreams[0].name = "up";
    config.upstreams[0].tls.emplace();
    config.upstreams[0].tls->ca = "/nowhere/2.pem";
    const auto refused = load_tls(config, book);
    ASSERT_FALSE(refused);
    ASSERT_EQ(refused.error().size(), 2U);
    EXPECT_TRUE(refused.error()[0].starts_with("listener broken: /nowhere/1.pem"));
    EXPECT_TRUE(refused.error()[1].starts_with("upstream up: /nowhere/2.pem"));
    config.listeners.erase(config.listeners.begin() + 1);
    config.upstreams.clear();
    const auto loaded = load_tls(config, book);
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->contexts().listeners.size(), 1U);
    EXPECT_TRUE(loaded->contexts().listeners.contains("web"));
    EXPECT_TRUE(loaded->contexts().upstreams.empty());
}

TEST(ExpiryWarning, begins_three_weeks_before) {
    const WallTime now{std::chrono::hours(24 * 365 * 50)};
    const auto in = [now](std::chrono::milliseconds left) {
        return expiry_warning({.file = "/a.pem", .not_after = now + left}, now).value_or("");
    };
    using std::chrono::days;
    using std::chrono::hours;
    EXPECT_EQ(in(days(21) + hours(1)), "");
    EXPECT_EQ(in(days(20) + hours(1)), "/a.pem: the certificate expires in 20 days");
    EXPECT_EQ(in(days(1) + hours(1)), "/a.pem: the certificate expires in 1 day");
    EXPECT_EQ(in(hours(1)), "/a.pem: the certificate expires in 0 days");
    EXPECT_EQ(in(-hours(1)), "/a.pem: the certificate has expired");
}

}  // namespace
}  // namespace penstock::app
