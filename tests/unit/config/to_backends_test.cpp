#include "config/to_backends.hpp"

#include <gtest/gtest.h>

namespace penstock::config {
namespace {

Endpoint at(const char* text) { return Endpoint::parse(text).value(); }

TEST(ToBackends, a_certificate_names_the_server_name_else_the_host_else_the_address) {
    Upstream upstream{.tls = UpstreamTls{}};
    EXPECT_EQ(verify_name(upstream, "a.example", at("10.0.0.1:443")), "a.example");
    EXPECT_EQ(verify_name(upstream, "a.example.", at("10.0.0.1:443")), "a.example");
    EXPECT_EQ(verify_name(upstream, "a.example", at("unix:/run/a")), "a.example");
    EXPECT_EQ(verify_name(upstream, "", at("10.0.0.1:443")), "10.0.0.1");
    EXPECT_EQ(verify_name(upstream, "", at("[2001:db8::1]:443")), "2001:db8::1");
    EXPECT_EQ(verify_name(upstream, "", at("[fe80::1%lo]:443")), "fe80::1");
    EXPECT_EQ(verify_name(upstream, "", at("unix:/run/a")), "");
    upstream.tls->server_name = "b.example.";
    EXPECT_EQ(verify_name(upstream, "a.example", at("10.0.0.1:443")), "b.example");
    EXPECT_EQ(verify_name(upstream, "", at("unix:/run/a")), "b.example");
}

TEST(ToBackends, checks_do_as_the_traffic_unless_told_otherwise) {
    struct Row {
        bool traffic;
        CheckTls check;
        bool secure;
        bool verified;
    };
    using enum CheckTls;
    for (const auto& row : {Row{false, inherit, false, false}, Row{false, on, true, false},
                            Row{false, off, false, false}, Row{true, inherit, true, true},
                            Row{true, on, true, true}, Row{true, off, false, false}}) {
        Upstream upstream;
        if (row.traffic) upstream.tls.emplace();
        upstream.health_check.tls = row.check;
        EXPECT_EQ(checks_speak_tls(upstream), row.secure);
        EXPECT_EQ(checks_verify(upstream), row.verified);
    }
    Upstream upstream;
    EXPECT_EQ(header_of_checks(upstream), SendProxyProtocol::off);
    upstream.send_proxy_protocol = SendProxyProtocol::v1;
    EXPECT_EQ(header_of_checks(upstream), SendProxyProtocol::v1);
    upstream.health_check.send_proxy_protocol = CheckProxyProtocol::off;
    EXPECT_EQ(header_of_checks(upstream), SendProxyProtocol::off);
}

}  // namespace
}  // namespace penstock::config
