// Checks that speak TLS as clients' connections to the backends do.
#include <gtest/gtest.h>

#include <string>

#include "tests/integration/check_scenario.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/proxy_header.hpp"
#include "tests/support/tls_echo_server.hpp"

namespace penstock::test {
namespace {

class ChecksInTls : public testing::Test {
protected:
    [[nodiscard]] std::string tls(const std::string& more = "") const {
        return "tls = { ca = \"" + pki.ca_file() + "\"" + more + " }\n";
    }
    TempDir files;
    Pki pki{files};
};

TEST_F(ChecksInTls, an_expired_certificate_takes_a_backend_out_and_is_named) {
    const TlsEchoServer good({.pair = pki.issue("good", {.names = {"DNS:a.example"}})});
    const TlsEchoServer old(
        {.pair = pki.issue("old", {.names = {"DNS:a.example"}, .from_days = -9, .to_days = -2})});
    ProxyProcess proxy(checked({old.text(), good.text()}, R"(type = "tls")",
                               tls(", server_name = \"a.example\"")));
    EXPECT_TRUE(proxy.says("backend b0 is down")) << proxy.errors();
    EXPECT_TRUE(proxy.says("TLS handshake failed: certificate has expired")) << proxy.errors();
    EXPECT_TRUE(wait_for([&] { return good.established() >= 3; })) << proxy.errors();
    EXPECT_EQ(proxy.errors().find("backend b1 is down"), std::string::npos) << proxy.errors();
    EXPECT_EQ(good.visits().front().server_name, "a.example");
}

TEST_F(ChecksInTls, a_backend_by_its_address_needs_that_in_its_certificate) {
    const TlsEchoServer right({.pair = pki.issue("right", {.names = {"IP:127.0.0.1"}})});
    const TlsEchoServer wrong({.pair = pki.issue("wrong", {.names = {"IP:127.0.0.2"}})});
    ProxyProcess proxy(
        checked({right.text(), wrong.text()},
                R"(type = "exchange", exchange = { send = "hello", expect = "hello" })", tls()));
    EXPECT_TRUE(proxy.says("backend b1 is down")) << proxy.errors();
    EXPECT_TRUE(proxy.says("mismatch")) << proxy.errors();
    EXPECT_TRUE(wait_for([&] { return right.established() >= 3; })) << proxy.errors();
    EXPECT_EQ(proxy.errors().find("backend b0 is down"), std::string::npos) << proxy.errors();
}

TEST_F(ChecksInTls, the_header_comes_before_the_handshake) {
    const TlsEchoServer backend(
        {.pair = pki.issue("right", {.names = {"IP:127.0.0.1"}}), .proxy_header = true});
    ProxyProcess proxy(
        checked({backend.text()}, R"(type = "tls")", "send_proxy_protocol = \"v2\"\n" + tls()));
    ASSERT_TRUE(wait_for([&] { return backend.established() >= 2; })) << proxy.errors();
    EXPECT_EQ(backend.visits().front().proxy_header, proxy_v2_local());
}

TEST_F(ChecksInTls, a_reload_changes_whom_checks_believe) {
    const TlsEchoServer backend({.pair = pki.issue("one", {.names = {"DNS:a.example"}})});
    const auto named = [&](const std::string& name) {
        return checked({backend.text()}, R"(type = "tls")",
                       tls(", server_name = \"" + name + "\""));
    };
    ProxyProcess proxy(named("b.example"));
    ASSERT_TRUE(proxy.says("backend b0 is down")) << proxy.errors();
    ASSERT_TRUE(proxy.change_to(named("a.example"))) << proxy.errors();
    EXPECT_TRUE(proxy.says("backend b0 is up")) << proxy.errors();
}

}  // namespace
}  // namespace penstock::test
