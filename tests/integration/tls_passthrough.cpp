// TLS that passes through untouched: the backend's, verified by the client.
#include <gtest/gtest.h>

#include <random>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

struct TlsPassthrough : TlsScene {
    Pair b = pki.server("b.example");
    TlsEchoServer backend_a{{.pair = a, .alpn = {"h2"}}};
    TlsEchoServer backend_b{{.pair = b}};

    // Two names, two upstreams, and what claims nothing goes to the plain echo.
    [[nodiscard]] ConfigText by_name(std::string timeouts = "") const {
        ConfigText config = one_service(
            {echo.text()}, std::move(timeouts), "",
            "route = [ { sni = \"a.example\", upstream = \"a\", tls = \"passthrough\" },\n"
            "          { sni = \"b.example\", upstream = \"b\", tls = \"passthrough\" } ]\n");
        config.more = upstream_table("a", backend_a.text()) + upstream_table("b", backend_b.text());
        return config;
    }
};

TEST_F(TlsPassthrough, goes_by_name_and_the_client_speaks_with_the_backend_itself) {
    ProxyProcess proxy(by_name());
    TlsClientOptions options = asks();
    options.alpn = {"h2"};
    TlsClient to_a = connected(proxy, options);
    TlsClient to_b = connected(proxy, asks("b.example"));
    EXPECT_EQ(to_a.peer_serial(), a.serial);
    EXPECT_EQ(to_b.peer_serial(), b.serial);
    EXPECT_EQ(to_a.alpn(), "h2");
    EXPECT_TRUE(to_a.close_cleanly());
    EXPECT_TRUE(to_b.close_cleanly());
    const auto lines = expect_lines(proxy, 2);
    EXPECT_EQ(lines[0].reason, "completed") << lines[0].raw;
    EXPECT_EQ(lines[0].upstream, "a") << lines[0].raw;
    EXPECT_EQ(lines[0].sni, "a.example") << lines[0].raw;
    EXPECT_EQ(lines[1].upstream, "b") << lines[1].raw;
    EXPECT_EQ(lines[1].sni, "b.example") << lines[1].raw;
    for (const LogLine& line : lines) {
        EXPECT_FALSE(line.tls.present) << line.raw;
        EXPECT_NE(line.route, "") << line.raw;
    }
    EXPECT_EQ(backend_a.wait_over(1).at(0).server_name, "a.example");
}

TEST_F(TlsPassthrough, large_data_both_ways_and_every_byte_is_counted) {
    ProxyProcess proxy(by_name());
    TlsClient client = connected(proxy, asks());
    std::mt19937 random(3);  // fixed: the same in every run
    std::string text(3U << 20, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    // In pieces, as the echo does not read on while its answers are not taken.
    for (std::size_t at = 0; at < text.size(); at += 100'000)
        ASSERT_TRUE(client.ping(std::string_view(text).substr(at, 100'000)));
    EXPECT_TRUE(client.close_cleanly());
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_GT(line.bytes_to_backend, text.size()) << line.raw;  // with the records around it
    EXPECT_GT(line.bytes_to_client, text.size()) << line.raw;
}

TEST_F(TlsPassthrough, bytes_arrive_as_they_were_sent) {
    std::string seen;
    std::atomic<bool> over = false;
    ChaosBackend tap([&](Socket& socket, const ChaosBackend&) {
        seen = socket.receive_text(1 << 20);
        over = true;
    });
    ConfigText config = one_service(
        {echo.text()}, "", "",
        "route = [{ sni = \"a.example\", upstream = \"tap\", tls = \"passthrough\" }]\n");
    config.more = upstream_table("tap", tap.text());
    ProxyProcess proxy(config);
    const std::string hello = client_hello(asks());
    const std::string more = "and bytes that are no TLS at all";
    auto socket = Socket::connect(proxy.address());
    ASSERT_TRUE(socket && socket->send(hello + more));
    socket->finish();
    ASSERT_TRUE(wait_for([&] { return over.load(); }));
    EXPECT_EQ(seen, hello + more);
}

TEST_F(TlsPassthrough, and_termination_on_one_port) {
    const Pair own = pki.server("own.example");
    ConfigText config = one_service({echo.text()}, "", "",
                                    terminates({own}) +
                                        "route = [ { sni = \"a.example\", upstream = \"a\", tls = "
                                        "\"passthrough\" } ]\n");
    config.more = upstream_table("a", backend_a.text());
    ProxyProcess proxy(config);
    TlsClient through = connected(proxy, asks());
    EXPECT_EQ(through.peer_serial(), a.serial);
    TlsClient ended = connected(proxy, asks("own.example"));
    EXPECT_EQ(ended.peer_serial(), own.serial);
    EXPECT_TRUE(through.close_cleanly());
    EXPECT_TRUE(ended.close_cleanly());
    const auto lines = expect_lines(proxy, 2);
    EXPECT_FALSE(lines[0].tls.present) << lines[0].raw;
    EXPECT_TRUE(lines[1].tls.present) << lines[1].raw;
    EXPECT_EQ(handshakes_of(proxy, "full"), 1);
}

TEST_F(TlsPassthrough, T8_truncation_stays_what_it_was) {
    ProxyProcess proxy(by_name());
    TlsClient client = connected(proxy, asks());
    client.socket().finish();
    const auto visits = backend_a.wait_over(1);
    EXPECT_EQ(visits.at(0).end, TlsEnd::truncated);
}

TEST_F(TlsPassthrough, needs_a_backend_like_any_other) {
    const ClosedPort closed;
    ConfigText config = by_name();
    config.more = upstream_table("a", closed.address.text(), "attempts = 1\n") +
                  upstream_table("b", backend_b.text());
    ProxyProcess proxy(config);
    TlsClient client(asks());
    EXPECT_FALSE(client.open(proxy.address()));
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.reason, "connect_failed") << line.raw;
    EXPECT_EQ(line.sni, "a.example") << line.raw;
    EXPECT_EQ(line.upstream, "a") << line.raw;
}

}  // namespace
}  // namespace penstock::test
