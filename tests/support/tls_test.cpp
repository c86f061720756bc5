// That the TLS peers of the tests do what the tests rely on, without a proxy in between.
#include <gtest/gtest.h>

#include "tests/support/proxy_header.hpp"
#include "tests/support/tls_client.hpp"
#include "tests/support/tls_echo_server.hpp"

namespace penstock::test {
namespace {

struct TlsPeers : ::testing::Test {
    TempDir directory;
    Pki pki{directory};
};

TEST_F(TlsPeers, echo_and_verify_each_other) {
    TlsEchoServer server(
        {.pair = pki.server("a.example"), .client_ca = pki.ca_file(), .alpn = {"h2"}});
    const Pair own = pki.client("me");
    TlsClient client({.server_name = "a.example",
                      .alpn = {"http/1.1", "h2"},
                      .ca_file = pki.ca_file(),
                      .certificate = &own});
    ASSERT_TRUE(client.open(Address::parse(server.text()))) << client.error();
    EXPECT_TRUE(client.ping(std::string(100'000, 'x')));
    EXPECT_EQ(client.alpn(), "h2");
    EXPECT_TRUE(client.close_cleanly());
    const auto visits = server.wait_over(1);
    EXPECT_EQ(visits.at(0).client_common_name, "me");
    EXPECT_EQ(visits.at(0).server_name, "a.example");
    EXPECT_EQ(visits.at(0).received.size(), 100'000U);
}

TEST_F(TlsPeers, refuse_what_does_not_verify) {
    const Pki other(directory, "other");
    TlsEchoServer server({.pair = pki.server("a.example")});
    TlsClient stranger({.server_name = "a.example", .ca_file = other.ca_file()});
    EXPECT_FALSE(stranger.open(Address::parse(server.text())));
    TlsClient misled({.server_name = "b.example", .ca_file = pki.ca_file()});
    EXPECT_FALSE(misled.open(Address::parse(server.text())));
}

TEST_F(TlsPeers, resume_and_tell_a_truncated_end) {
    TlsEchoServer server({.pair = pki.server("a.example")});
    TlsClient first;
    ASSERT_TRUE(first.open(Address::parse(server.text())) && first.ping());
    TlsClient second({}, first.session());
    ASSERT_TRUE(second.open(Address::parse(server.text())) && second.ping());
    EXPECT_TRUE(second.resumed());
    EXPECT_FALSE(first.resumed());
    TlsEchoServer rude({.pair = pki.server("a.example"), .script = tls_scripts::truncate("half")});
    TlsClient third;
    ASSERT_TRUE(third.open(Address::parse(rude.text())));
    std::string text;
    EXPECT_EQ(third.wait_end(patience, &text), TlsEnd::truncated);
    EXPECT_EQ(text, "half");
}

TEST_F(TlsPeers, stall_where_they_are_told) {
    TlsEchoServer server({.pair = pki.server("a.example"), .stalls_after = 100});
    TlsClient client;
    EXPECT_FALSE(client.open(Address::parse(server.text()), 100ms));
    EXPECT_EQ(client.end(), TlsEnd::open);
}

TEST(ProxyHeaders, are_read_as_they_were_written) {
    EXPECT_EQ(crc32c("123456789"), 0xE3069283U);  // the check value of CRC-32C
    ProxyHeaderBackend backend;
    const std::vector<std::string> headers{
        proxy_v1("10.1.2.3:4", "10.5.6.7:8"), proxy_v1("[2001:db8::1]:4", "[2001:db8::2]:8"),
        proxy_v2("10.1.2.3:4", "10.5.6.7:8", {{tlv::authority, "a"}}, true),
        proxy_v2("[2001:db8::1]:4", "[2001:db8::2]:8")};
    for (const std::string& header : headers) {
        auto socket = Socket::connect(Address::parse(backend.text()));
        ASSERT_TRUE(socket && socket->send(header + "x"));
        EXPECT_EQ(socket->receive_text(1), "x");
    }
    const auto seen = backend.wait_headers(4);
    ASSERT_EQ(seen.size(), 4U);
    EXPECT_EQ(seen[0].source, "10.1.2.3:4");
    EXPECT_EQ(seen[1].destination, "[2001:db8::2]:8");
    EXPECT_EQ(*seen[2].find(tlv::authority), "a");
    EXPECT_FALSE(seen[2].crc_wrong);
    EXPECT_EQ(seen[3].source, "[2001:db8::1]:4");
}

}  // namespace
}  // namespace penstock::test
