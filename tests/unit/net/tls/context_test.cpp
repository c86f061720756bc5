#include "net/tls/context.hpp"

#include <cstdlib>

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/temp_dir.hpp"
#include "tests/unit/net/tls/test_certificates.hpp"

namespace penstock::net::tls {
namespace {

std::string refusal(const ServerOptions& options) {
    const auto made = ServerContext::make(options, nullptr);
    return made ? "" : made.error();
}
std::string refusal(KeyPair pair) {
    return refusal(ServerOptions{.certificates = {std::move(pair)}});
}

std::vector<std::string> warnings(const ServerOptions& options) {
    const auto made = ServerContext::make(options, nullptr);
    return made ? (*made)->warnings() : std::vector<std::string>{"refused: " + made.error()};
}

TEST(TlsContextTest, refusals_name_the_file) {
    const auto good = certificate_for("a.test");
    EXPECT_EQ(refusal(good.pair()), "");
    EXPECT_EQ(refusal(ServerOptions{}), "there is no certificate; `certificates` must name one");
    auto pair = good.pair();
    pair.cert_pem = "nonsense";
    EXPECT_EQ(refusal(pair), "/t/a.pem: not a PEM certificate");
    pair = good.pair();
    pair.cert_pem.replace(100, 4, "####");
    EXPECT_TRUE(refusal(pair).starts_with("/t/a.pem: certificate 1 cannot be read: "))
        << refusal(pair);
    pair = good.pair();
    pair.key_pem = certificate_for("b.test").key_pem;
    EXPECT_EQ(refusal(pair), "/t/a.key: the key does not belong to the certificate in /t/a.pem");
    pair.key_pem = "nonsense";
    EXPECT_EQ(refusal(pair), "/t/a.key: has no PEM private key");
    EXPECT_TRUE(refusal(certificate_for("weak.test", 1024).pair())
                    .starts_with("/t/a.pem: the certificate cannot be used: ee key too small"))
        << refusal(certificate_for("weak.test", 1024).pair());
}

TEST(TlsContextTest, the_key_may_be_in_the_file_of_the_certificate) {
    auto pair = certificate_for("a.test").pair();
    pair.cert_pem = pair.key_pem + pair.cert_pem;
    pair.key_pem.clear();
    pair.key_file.clear();
    EXPECT_EQ(refusal(pair), "");
}

TEST(TlsContextTest, passwords_are_tried_in_turn) {
    const auto certificate = certificate_for("a.test");
    auto pair = certificate.pair();
    pair.key_pem = encrypt_key(certificate, "sesame");
    EXPECT_EQ(refusal(pair),
              "/t/a.key: the key is encrypted; name the file of its password (key_password_file)");
    pair.passwords = {"", "wrong"};
    EXPECT_EQ(refusal(pair), "/t/a.key: none of the passwords in key_password_file opens the key");
    pair.passwords.emplace_back("sesame");
    EXPECT_EQ(refusal(pair), "");
    wipe(pair);
    EXPECT_TRUE(pair.passwords.empty());
    EXPECT_EQ(pair.key_pem, "");
}

TEST(TlsContextTest, what_is_odd_and_works_is_a_warning) {
    const auto with = [](const CertificateSpec& spec) {
        return warnings({.certificates = {make_certificate(spec).pair()}});
    };
    using Words = std::vector<std::string>;
    EXPECT_EQ(with({.common_name = "a"}), Words{});
    EXPECT_EQ(with({.common_name = "a", .from_days = -9, .to_days = -2}),
              Words{"/t/a.pem: the certificate of a has expired"});
    EXPECT_EQ(with({.common_name = "a", .from_days = 2}),
              Words{"/t/a.pem: the certificate of a is not yet valid"});
    EXPECT_EQ(with({.common_name = "a", .to_days = 500}),
              Words{"/t/a.pem: the certificate of a lasts longer than 366 days, which many clients "
                    "do not accept"});
    EXPECT_EQ(warnings({.certificates = {certificate_for("a.test").pair(),
                                         certificate_for("a.test", 2048).pair(),
                                         certificate_for("a.test").pair()}}),
              Words{"/t/a.pem: is not used for a.test, because the certificate in /t/a.pem comes "
                    "first"});
}

TEST(TlsContextTest, ciphers_of_both_versions_in_one_list) {
    ServerOptions options{.certificates = {certificate_for("a.test").pair()}};
    options.ciphers = "TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES256-GCM-SHA384";
    EXPECT_EQ(refusal(options), "");
    options.ciphers = "NO-SUCH";
    EXPECT_EQ(refusal(options),
              "ciphers: no cipher match: NO-SUCH (`openssl ciphers -v` shows the names)");
    options.ciphers = "TLS_NO_SUCH";
    EXPECT_TRUE(refusal(options).starts_with("ciphers: ")) << refusal(options);
    options.ciphers.clear();
    options.alpn = {""};
    EXPECT_EQ(refusal(options), "alpn: a protocol has 1 to 255 characters");
}

TEST(TlsContextTest, authorities_and_lists_are_checked_when_they_are_read) {
    ServerOptions options{.certificates = {certificate_for("a.test").pair()},
                          .client_ca_file = "/t/ca.pem",
                          .client_crl_file = "/t/crl.pem",
                          .client_auth = ClientAuth::required};
    EXPECT_EQ(refusal(options), "client certificates are asked for, but no client_ca is given");
    options.client_ca_pem = "nonsense";
    EXPECT_EQ(refusal(options), "/t/ca.pem: not a PEM certificate");
    options.client_ca_pem = test_authority().cert_pem;
    options.client_crl_pem = "nonsense";
    EXPECT_EQ(refusal(options), "/t/crl.pem: not a PEM list of revoked certificates");
    options.client_crl_pem = make_crl(test_authority(), {});
    EXPECT_EQ(refusal(options), "");
    const auto client = ClientContext::make({.ca_file = "/t/b.pem", .ca_pem = "nonsense"});
    ASSERT_FALSE(client);
    EXPECT_EQ(client.error(), "/t/b.pem: not a PEM certificate");
    EXPECT_TRUE(ClientContext::make({})) << "the system's authorities";
}

TEST(TlsContextTest, certificates_are_described) {
    const auto certificate = make_certificate({.common_name = "a",
                                               .names = {"DNS:a.test", "IP:10.0.0.1"},
                                               .from_days = -1,
                                               .to_days = 9});
    const auto made = ServerContext::make({.certificates = {certificate.pair()}}, nullptr);
    ASSERT_TRUE(made) << made.error();
    ASSERT_EQ((*made)->certificates().size(), 1U);
    const CertificateInfo& info = (*made)->certificates().front();
    EXPECT_EQ(info.file, "/t/a.pem");
    EXPECT_EQ(info.subject, "CN=a");
    EXPECT_EQ(info.names, (std::vector<std::string>{"a.test", "10.0.0.1"}));
    EXPECT_EQ(info.not_after - info.not_before, std::chrono::hours(240));
}

TEST(TlsContextTest, all_of_a_chain_are_described) {
    const auto middle = make_certificate(
        {.common_name = "Middle", .from_days = -9, .to_days = -2, .authority = true},
        &test_authority());
    const auto leaf = make_certificate({.common_name = "leaf", .names = {"DNS:leaf"}}, &middle);
    const auto made = ServerContext::make({.certificates = {leaf.pair(middle.cert_pem)}}, nullptr);
    ASSERT_TRUE(made) << made.error();
    ASSERT_EQ((*made)->certificates().size(), 2U);
    EXPECT_EQ((*made)->certificates()[1].subject, "CN=Middle");
    EXPECT_EQ((*made)->warnings(),
              std::vector<std::string>{"/t/a.pem: the certificate of Middle has expired"});
}

TEST(TlsContextTest, lists_of_revocations_that_refuse_everybody_are_told_of) {
    const auto stranger = make_certificate({.common_name = "Test Authority", .authority = true});
    ServerOptions options{.certificates = {certificate_for("a.test").pair()},
                          .client_ca_file = "/t/ca.pem",
                          .client_ca_pem = test_authority().cert_pem,
                          .client_crl_file = "/t/crl.pem",
                          .client_auth = ClientAuth::required};
    const auto warnings = [&](const std::string& lists) {
        options.client_crl_pem = lists;
        const auto made = ServerContext::make(options, nullptr);
        return made ? (*made)->warnings() : std::vector{made.error()};
    };
    using Sentences = std::vector<std::string>;
    const Sentences foreign{
        "/t/crl.pem: has no list of Test Authority of /t/ca.pem: whoever shows a certificate of "
        "it is refused"};
    EXPECT_EQ(warnings(make_crl(test_authority(), {})), Sentences{});
    EXPECT_EQ(warnings(make_crl(stranger, {})), foreign) << "the name alone is not enough";
    EXPECT_EQ(warnings(make_crl(stranger, {}) + make_crl(test_authority(), {})), Sentences{});
    EXPECT_EQ(warnings(make_crl(test_authority(), {}, -1)),
              Sentences{"/t/crl.pem: the list of revocations of CN=Test Authority has expired: "
                        "whoever shows a certificate that it is about is refused"});
}

TEST(TicketKeysTest, T13_files_have_one_of_two_sizes) {
    std::string bytes(80, '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i);
    const auto large = parse_ticket_key(bytes);
    ASSERT_TRUE(large);
    EXPECT_EQ(large->name[15], 15);
    EXPECT_EQ(large->mac[0], 16);
    EXPECT_EQ(large->cipher[0], 48);
    EXPECT_EQ(large->cipher[31], 79);
    const auto small = parse_ticket_key(bytes.substr(0, 48));
    ASSERT_TRUE(small);
    EXPECT_TRUE(small->aes128);
    EXPECT_EQ(small->cipher[0], 16);
    EXPECT_EQ(small->mac[15], 47);
    EXPECT_EQ(parse_ticket_key("short").error(),
              "has 5 bytes; a key of session tickets has 80 or 48 (openssl rand 80)");
}

TEST(TicketKeysTest, T13_random_keys_rotate_and_shared_ones_do_not) {
    TimePoint now{std::chrono::hours(1)};
    TicketKeys keys;
    const TicketKey first = keys.keys()->front();
    keys.rotate_if_due(now);
    keys.rotate_if_due(now + TicketKeys::rotation - Duration(1));
    EXPECT_EQ(keys.keys()->size(), 1U);
    for (std::size_t i = 0; i < TicketKeys::kept; ++i)
        keys.rotate_if_due(now += TicketKeys::rotation);
    EXPECT_EQ(keys.keys()->size(), TicketKeys::kept + 1);
    EXPECT_EQ(keys.keys()->back(), first);
    keys.rotate_if_due(now += TicketKeys::rotation);
    EXPECT_NE(keys.keys()->back(), first);
    keys.use_shared({first});
    EXPECT_TRUE(keys.shared());
    keys.rotate_if_due(now += 10 * TicketKeys::rotation);
    EXPECT_EQ(*keys.keys(), std::vector{first});
    keys.use_shared({});
    EXPECT_FALSE(keys.shared());
    EXPECT_NE(keys.keys()->front(), first);
}

TEST(TicketKeysTest, T13_inherited_keys_keep_their_age) {
    const TimePoint now{std::chrono::hours(100)};
    TicketKeys before;
    TicketKeys keys;
    EXPECT_FALSE(keys.since()) << "not known before the first look";
    keys.rotate_if_due(now);
    EXPECT_EQ(keys.since(), now);
    keys.inherit(*before.keys(), now - TicketKeys::rotation + Duration(1));
    EXPECT_FALSE(keys.shared());
    EXPECT_EQ(*keys.keys(), *before.keys());
    keys.rotate_if_due(now);
    EXPECT_EQ(*keys.keys(), *before.keys());
    keys.rotate_if_due(now + Duration(1));
    ASSERT_EQ(keys.keys()->size(), 2U);
    EXPECT_EQ(keys.keys()->back(), before.keys()->front());
    // No keys are no reason to change anything.
    const auto known = *keys.keys();
    keys.inherit({}, now);
    EXPECT_EQ(*keys.keys(), known);
}

TEST(TicketKeysTest, a_key_is_serialized_as_its_file_has_it) {
    std::string bytes(80, '\0');
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i);
    for (const std::size_t size : {std::size_t{80}, std::size_t{48}})
        EXPECT_EQ(serialize_ticket_key(parse_ticket_key(bytes.substr(0, size)).value()),
                  bytes.substr(0, size));
}

// What this program does when it is started anew for the next test.
TEST(TlsContextTest, T17_child) {
    ignore_openssl_conf();
    EXPECT_EQ(refusal(certificate_for("a.test").pair()), "");
}

TEST(TlsContextTest, T17_a_hostile_configuration_in_the_environment_changes_nothing) {
    const test::TempDir directory;
    const std::string file = directory.write(
        "openssl.cnf",
        "openssl_conf = all\n[all]\nproviders = some\n[some]\nbase = on\n[on]\nactivate = 1\n");
    char self[4096];
    const auto size = ::readlink("/proc/self/exe", self, sizeof self - 1);
    ASSERT_GT(size, 0);
    self[size] = '\0';
    const std::string variable = "OPENSSL_CONF=" + file;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const char* arguments[] = {self, "--gtest_filter=TlsContextTest.T17_child", nullptr};
        const char* environment[] = {variable.c_str(), nullptr};
        ::execve(self, const_cast<char**>(arguments), const_cast<char**>(environment));
        ::_exit(127);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace penstock::net::tls
