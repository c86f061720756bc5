// TLS against OpenSSL's own server.
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/child_process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/health/probe/probe_runner.hpp"

namespace penstock::health {
namespace {

using config::CheckType;

/// `openssl s_server` with a certificate made for it; serves one connection after the other.
class TlsServer {
public:
    explicit TlsServer(const std::vector<std::string>& options) {
        const std::string key = directory_.path("key");
        const std::string certificate = directory_.path("certificate");
        test::ChildProcess request({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                                    "-keyout", key, "-out", certificate, "-days", "2", "-subj",
                                    "/CN=probe.test"});
        if (request.wait_exit() != 0) throw std::runtime_error(request.errors());
        std::vector<std::string> argv{"openssl", "s_server", "-accept", "127.0.0.1:0",
                                      "-key",    key,        "-cert",   certificate,
                                      "-key2",   key,        "-cert2",  certificate};
        argv.insert(argv.end(), options.begin(), options.end());
        process_ = std::make_unique<test::ChildProcess>(argv);
        if (!test::wait_for([this] { return !address().empty(); }))
            throw std::runtime_error("s_server: " + process_->output() + process_->errors());
    }

    /// "" = it does not listen yet.
    [[nodiscard]] std::string address() const {
        const std::string output = process_->output();
        const std::size_t begin = output.find("127.0.0.1:");
        const std::size_t end = output.find('\n', begin);
        return end == std::string::npos ? "" : output.substr(begin, end - begin);
    }

private:
    test::TempDir directory_;
    std::unique_ptr<test::ChildProcess> process_;
};

class TlsProbeTest : public testing::Test {
protected:
    ProbeResult check(const TlsServer& server, CheckType type = CheckType::tls,
                      const std::string& host = "") {
        settings.health_check.type = type;
        settings.health_check.timeout = long_timeout;
        return runner.run(settings, target_at(server.address(), host));
    }

    config::Upstream settings;
    ProbeRunner runner;
};

TEST_F(TlsProbeTest, HandshakeCompletes) {
    const TlsServer newest({"-www"});
    const ProbeResult result = check(newest);
    EXPECT_TRUE(result.ok);
    EXPECT_EQ(result.detail, "TLSv1.3");
    const TlsServer older({"-www", "-tls1_2"});
    EXPECT_EQ(check(older).detail, "TLSv1.2");
}

TEST_F(TlsProbeTest, OldVersionsAreRefused) {
    const TlsServer server({"-www", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"});
    const ProbeResult result = check(server);
    EXPECT_FALSE(result.ok);
    EXPECT_TRUE(result.detail.starts_with("TLS handshake failed: ")) << result.detail;
    EXPECT_NE(result.detail.find("protocol"), std::string::npos) << result.detail;
}

TEST_F(TlsProbeTest, AlertsAreShown) {
    const TlsServer wants_certificate({"-www", "-tls1_2", "-Verify", "1"});
    const ProbeResult result = check(wants_certificate);
    EXPECT_FALSE(result.ok);
    EXPECT_EQ(result.detail, "TLS handshake failed: sslv3 alert handshake failure");
}

TEST_F(TlsProbeTest, ServerNameIsTheHostButNoAddress) {
    const TlsServer server({"-www", "-servername", "right.test", "-servername_fatal"});
    EXPECT_TRUE(check(server, CheckType::tls, "right.test").ok);
    EXPECT_TRUE(check(server, CheckType::tls, "right.test.").ok);
    for (const char* none : {"", "127.0.0.1", "::1"})
        EXPECT_TRUE(check(server, CheckType::tls, none).ok) << none;
    const ProbeResult wrong = check(server, CheckType::tls, "wrong.test");
    EXPECT_FALSE(wrong.ok);
    EXPECT_EQ(wrong.detail, "TLS handshake failed: tlsv1 unrecognized name");
}

TEST_F(TlsProbeTest, ServerNameOfAnHttpCheckByAddressIsItsHost) {
    settings.health_check.tls = config::CheckTls::on;
    settings.health_check.http.host = "right.test:443";
    const TlsServer server({"-www", "-servername", "right.test", "-servername_fatal"});
    EXPECT_TRUE(check(server, CheckType::http).ok);
    EXPECT_FALSE(check(server, CheckType::http, "wrong.test").ok);
    settings.health_check.http.host = "127.0.0.1:443";
    EXPECT_TRUE(check(server, CheckType::http).ok);
    settings.health_check.http.host = "[::1]:443";
    EXPECT_TRUE(check(server, CheckType::http).ok);
    settings.health_check.http.host = "wrong.test";
    EXPECT_FALSE(check(server, CheckType::http).ok);
}

TEST_F(TlsProbeTest, HttpAndExchangeInside) {
    settings.health_check.tls = config::CheckTls::on;
    settings.health_check.http.body_contains = "Ciphers supported";
    for (const char* version : {"-tls1_2", "-tls1_3"}) {
        const TlsServer web({"-www", version});
        const ProbeResult page = check(web, CheckType::http);
        EXPECT_TRUE(page.ok) << page.detail;
        EXPECT_EQ(page.detail, "HTTP 200");
        settings.health_check.exchange = {.send = "abc\n", .expect = "cba\n"};
        const TlsServer reverses({"-rev", version});
        const ProbeResult answer = check(reverses, CheckType::exchange);
        EXPECT_TRUE(answer.ok) << answer.detail;
    }
}

TEST_F(TlsProbeTest, PlainHttpToATlsServerFails) {
    const TlsServer server({"-www"});
    const ProbeResult result = check(server, CheckType::http);
    EXPECT_FALSE(result.ok);
    EXPECT_FALSE(result.detail.empty());
}

TEST_F(TlsProbeTest, LongServerNamesAreNotSent) {
    const TlsServer server({"-www", "-servername", "right.test", "-servername_fatal"});
    const ProbeResult result = check(server, CheckType::tls, std::string(300, 'a') + ".test");
    EXPECT_TRUE(result.ok) << result.detail;
}

}  // namespace
}  // namespace penstock::health
