// TLS that ends at the proxy: handshakes that stall, break, or come in floods.
#include <gtest/gtest.h>

#include <openssl/ssl.h>

#include <set>

#include "tests/integration/close_case.hpp"
#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

using TlsHandshakes = TlsScene;

/// A record of TLS 1.2 in plain text.
std::string record(char type, std::string_view body) {
    std::string bytes{type, '\x03', '\x03'};
    bytes += static_cast<char>(body.size() >> 8);
    bytes += static_cast<char>(body.size() & 0xFF);
    return bytes + std::string(body);
}

// ---- Stalls

TEST_F(TlsHandshakes, T3_client_that_stalls_anywhere_in_the_handshake_meets_the_deadline) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"700ms\"\nidle = \"5m\""));
    const std::size_t baseline = proxy.descriptors();
    // A client says its hello, and after the server's flight the end of the handshake.
    const std::size_t hello = client_hello(asks()).size();
    std::vector<std::size_t> cuts;
    for (std::size_t k = 0; k <= hello; k += k < 16 || hello - k < 8 ? 1 : 23) cuts.push_back(k);
    for (std::size_t k = 1; k < 60; k += 7) cuts.push_back(hello + k);
    std::vector<TlsClient> clients;
    const auto start = Clock::now();
    for (const std::size_t cut : cuts) {
        TlsClient& client = clients.emplace_back(asks());
        client.stall_after(cut);
        ASSERT_TRUE(client.connect(proxy.address()));
        client.handshake(1ms);
    }
    for (TlsClient& client : clients) {
        if (client.established()) client.handshake(1ms);
        EXPECT_NE(client.socket().wait_end(), End::open);
    }
    EXPECT_GE(since(start), 700ms);
    const auto lines = expect_lines(proxy, cuts.size());
    EXPECT_EQ(reasons_other_than(lines, "tls_timeout"), "");
    EXPECT_EQ(handshakes_of(proxy, "timeout"), static_cast<double>(cuts.size()));
    EXPECT_EQ(echo.accepted(), 0U);
    expect_descriptors(proxy, baseline);
    expect_serving(proxy);
}

TEST_F(TlsHandshakes, T3_deadline_is_of_the_whole_handshake) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"1s\"\nidle = \"5m\""));
    TlsClient client(asks());
    const std::string hello = client.begin();
    ASSERT_TRUE(client.connect(proxy.address()));
    const auto start = Clock::now();
    std::size_t said = 0;
    // One byte each time, at a pace that a deadline per byte would never end.
    while (said < hello.size() && client.socket().send(hello.substr(said, 1))) {
        ++said;
        std::byte nothing;
        if (client.socket().receive({&nothing, 1}, 50ms) != -ETIMEDOUT) break;
    }
    EXPECT_LT(said, hello.size());
    EXPECT_TRUE(window_of(1s).contains(since(start)));
    the_line(proxy, {"tls_timeout", "client", "proxy", 0});
}

// ---- Broken handshakes

TEST_F(TlsHandshakes, T4_every_prefix_of_a_hello_may_end_in_any_way) {
    ProxyProcess proxy(terminating());
    const std::string hello = client_hello(asks());
    std::size_t count = 0;
    for (std::size_t size = 0; size < hello.size(); ++size) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket && socket->send(hello.substr(0, size)));
        ++count;
        if (size % 2 == 0) {
            socket->reset();
            continue;
        }
        socket->finish();
        EXPECT_NE(socket->wait_end(), End::open) << size;
    }
    expect_closed_by_clients(proxy, count);
    std::set<std::string> reasons;
    for (const LogLine& line : proxy.access_log().lines()) reasons.insert(line.reason);
    for (const std::string& reason : reasons)
        EXPECT_TRUE(reason == "tls_failed" || reason == "client_gone") << reason;
    EXPECT_EQ(echo.accepted(), 0U);
    expect_serving(proxy);
}

TEST_F(TlsHandshakes, T4_every_byte_of_a_hello_may_be_wrong) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"1s\""));
    const std::string hello = client_hello(asks());
    std::vector<Socket> open;
    for (std::size_t at = 0; at < hello.size(); ++at) {
        std::string wrong = hello;
        wrong[at] = static_cast<char>(wrong[at] ^ (at % 3 == 0 ? 0xFF : 1 << at % 8));
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket && socket->send(wrong));
        socket->finish();
        open.push_back(std::move(*socket));
    }
    for (Socket& socket : open) EXPECT_NE(socket.wait_end(), End::open);
    expect_closed_by_clients(proxy, open.size());
    EXPECT_EQ(echo.accepted(), 0U);
    expect_serving(proxy);
}

TEST_F(TlsHandshakes, T4_records_that_were_altered_end_the_connection) {
    Watched backend;
    ChaosBackend chaos(backend.script());
    ProxyProcess proxy(one_service({chaos.text()}, "", "", terminates({a})));
    TlsClient client(asks());
    ASSERT_TRUE(client.open(proxy.address()));
    ASSERT_TRUE(client.send("ping"));
    EXPECT_EQ(client.receive_text(4), "pong");
    std::string sealed = client.seal("an order");
    sealed[sealed.size() - 1] = static_cast<char>(sealed[sealed.size() - 1] ^ 1);
    client.socket().send(sealed);
    EXPECT_NE(client.wait_end(), TlsEnd::notified);
    EXPECT_EQ(backend.wait(), End::reset);
    const LogLine line = the_line(proxy, {"client_reset", "client", "client", 1});
    EXPECT_EQ(line.bytes_to_backend, 4U);
}

TEST_F(TlsHandshakes, T9_alerts_in_the_midst_of_a_handshake_harm_nobody) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"2s\""));
    const std::string hello = client_hello(asks());
    std::vector<Socket> open;
    for (const int level : {0, 1, 2, 255})
        for (const int code : {0, 1, 41, 90, 100, 113, 200, 255}) {
            const std::string body{static_cast<char>(level), static_cast<char>(code)};
            for (const bool after : {false, true}) {
                auto socket = Socket::connect(proxy.address());
                ASSERT_TRUE(socket && socket->send((after ? hello : "") + record('\x15', body) +
                                                   (after ? "" : hello)));
                socket->finish();
                open.push_back(std::move(*socket));
            }
        }
    for (Socket& socket : open) EXPECT_NE(socket.wait_end(), End::open);
    expect_closed_by_clients(proxy, open.size());
    EXPECT_EQ(echo.accepted(), 0U);
    expect_serving(proxy);
}

// ---- Floods

TEST_F(TlsHandshakes, T5_renegotiation_is_refused) {
    ProxyProcess proxy(terminating(R"(max_version = "1.2")"));
    TlsClient client = connected(proxy, asks());
    SSL_renegotiate(client.native());
    client.handshake(5s);
    EXPECT_EQ(client.alert(), alerts::no_renegotiation) << client.error();
    EXPECT_EQ(handshakes_of(proxy, "full"), 1);
}

TEST_F(TlsHandshakes, T5_floods_of_records_without_content_are_ended) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"1m\"\nidle = \"5m\""));
    // In plain text, before the handshake is done: empty records, warnings, changes of the cipher.
    const std::string hello = client_hello(asks());
    const auto floods = {record('\x16', ""), record('\x15', std::string("\x01\x5a", 2)),
                         record('\x14', "\x01")};
    for (const std::string& one : floods) {
        auto socket = Socket::connect(proxy.address());
        ASSERT_TRUE(socket && socket->send(hello));
        std::string many;
        for (int i = 0; i < 2000; ++i) many += one;
        socket->send(many);
        EXPECT_NE(socket->wait_end(promptly), End::open);
    }
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 3), "tls_failed"), "");
    expect_serving(proxy);
}

TEST_F(TlsHandshakes, T5_key_updates_cost_their_sender_as_much_as_the_proxy) {
    ConfigText config = terminating("", "idle = \"5m\"");
    config.services.push_back({.name = "plain", .backends = {echo.text()}});
    ProxyProcess proxy(config);
    TlsClient client = connected(proxy, asks());
    Probe probe(proxy.address("plain"));
    for (int i = 0; i < sized(20'000); ++i) {
        if (SSL_key_update(client.native(), SSL_KEY_UPDATE_REQUESTED) != 1) break;
        if (!client.send("x") || client.receive_some() != "x") break;
    }
    expect_undisturbed(probe.finish());
    expect_serving(proxy);
}

TEST_F(TlsHandshakes, T6_storm_of_handshakes_leaves_plain_listeners_alone) {
    ConfigText config = terminating("session_tickets = false, session_cache = 0");
    config.process = "workers = 2";
    config.services.push_back({.name = "plain", .backends = {echo.text()}});
    ProxyProcess proxy(config);
    Probe probe(proxy.address("plain"));
    std::atomic<int> done = 0;
    const int share = sized(150);
    std::vector<std::thread> storm;
    for (int i = 0; i < 8; ++i)
        storm.emplace_back([&] {
            for (int n = 0; n < share; ++n) {
                TlsClient client;
                if (client.open(proxy.address())) ++done;
                client.socket().reset();
            }
        });
    for (std::thread& thread : storm) thread.join();
    expect_undisturbed(probe.finish());
    EXPECT_EQ(done, 8 * share);
    EXPECT_GE(handshakes_of(proxy, "full"), 8 * share);
}

TEST_F(TlsHandshakes, T6_no_more_handshakes_at_a_time_than_allowed) {
    ConfigText config = terminating("max_handshakes = 2", "tls_handshake = \"5m\"");
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    std::vector<TlsClient> slow;
    for (int i = 0; i < 2; ++i) {
        TlsClient& client = slow.emplace_back(asks());
        ASSERT_TRUE(client.connect(proxy.address()));
        ASSERT_TRUE(client.socket().send(client.begin().substr(0, 20)));
    }
    ASSERT_TRUE(wait_for(
        [&] { return metrics_of(proxy).sum("penstock_listener_connections_active") == 2; }));
    // The next ones have their turn when one of them is gone.
    TlsClient third(asks());
    TlsClient fourth(asks());
    EXPECT_FALSE(third.open(proxy.address(), 300ms));
    EXPECT_FALSE(fourth.open(proxy.address(), 1ms));
    EXPECT_EQ(third.end(), TlsEnd::open);
    slow.front().socket().reset();
    // Both at once: whoever has the place holds it until its client has done its part.
    std::thread beside([&] { EXPECT_TRUE(fourth.handshake()) << fourth.error(); });
    EXPECT_TRUE(third.handshake()) << third.error();
    beside.join();
    EXPECT_TRUE(third.ping() && fourth.ping());
}

}  // namespace
}  // namespace penstock::test
