// TLS that ends at the proxy: what clients get, what broken and hostile ones get, and what the
// backend behind never sees.
#include <gtest/gtest.h>

#include <openssl/ssl.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/integration/close_case.hpp"
#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

class TlsTerminate : public TlsScene {
protected:
    /// Clients that say one of these and no more end by themselves; no backend hears of them, and
    /// others are served.
    void expect_harmless(const ProxyProcess& proxy, const std::vector<std::string>& openings) {
        std::vector<Socket> open;
        for (const std::string& opening : openings) {
            auto socket = Socket::connect(proxy.address());
            ASSERT_TRUE(socket && socket->send(opening));
            socket->finish();
            open.push_back(std::move(*socket));
        }
        for (Socket& socket : open) EXPECT_NE(socket.wait_end(), End::open);
        expect_closed_by_clients(proxy, open.size());
        EXPECT_EQ(echo.accepted(), 0U);
        expect_serving(proxy);
    }
};

std::string random_text(std::size_t size) {
    std::mt19937 random(7);  // fixed: the same in every run
    std::string text(size, '\0');
    for (char& byte : text) byte = static_cast<char>(random());
    return text;
}

/// A record of TLS 1.2 in plain text.
std::string record(char type, std::string_view body) {
    std::string bytes{type, '\x03', '\x03'};
    bytes += static_cast<char>(body.size() >> 8);
    bytes += static_cast<char>(body.size() & 0xFF);
    return bytes + std::string(body);
}

// Sends bytes and no more; how the proxy ended that.
End answer_to(const Address& proxy, std::string_view bytes, bool finish = false) {
    auto socket = Socket::connect(proxy);
    if (!socket || !socket->send(bytes)) return End::failed;
    if (finish) socket->finish();
    return socket->wait_end();
}

TEST_F(TlsTerminate, serves_both_versions_and_logs_what_was_agreed) {
    ProxyProcess proxy(terminating(R"(alpn = ["h2", "http/1.1"])"));
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        TlsClientOptions options = asks();
        options.alpn = {"http/1.1", "h2"};
        options.max_version = version;
        TlsClient client = connected(proxy, options);
        EXPECT_EQ(client.version(), version == TlsVersion::tls12 ? "TLSv1.2" : "TLSv1.3");
        EXPECT_EQ(client.alpn(), "h2");
        EXPECT_TRUE(client.ping(random_text(1'000'000)));
        EXPECT_TRUE(client.close_cleanly());
        const auto lines = expect_lines(proxy, version == TlsVersion::tls12 ? 1 : 2);
        const LogLine& line = lines.back();
        EXPECT_EQ(line.reason, "completed") << line.raw;
        EXPECT_EQ(line.sni, "a.example") << line.raw;
        EXPECT_EQ(line.alpn, "h2") << line.raw;
        EXPECT_EQ(line.tls.version, client.version()) << line.raw;
        EXPECT_EQ(line.tls.cipher, client.cipher()) << line.raw;
        EXPECT_FALSE(line.tls.resumed) << line.raw;
        EXPECT_EQ(line.tls.client_cert, "") << line.raw;
        EXPECT_TRUE(line.tls_ms) << line.raw;
        EXPECT_EQ(line.bytes_to_backend, 1'000'004U) << line.raw;
        EXPECT_EQ(line.bytes_to_client, 1'000'004U) << line.raw;
    }
    const MetricsPage page = metrics_of(proxy);
    EXPECT_EQ(page.value(handshakes("full")), 2);
    EXPECT_EQ(page.value("penstock_tls_handshake_seconds_count{listener=\"in\"}"), 2);
}

TEST_F(TlsTerminate, counts_from_zero) {
    ProxyProcess proxy(terminating());
    for (const char* result : {"full", "resumed", "failed", "timeout"})
        EXPECT_EQ(handshakes_of(proxy, result), 0) << result;
    const MetricsPage page = metrics_of(proxy);
    EXPECT_EQ(page.value("penstock_tls_handshake_seconds_count{listener=\"in\"}"), 0);
    for (const char* result : {"success", "failure"})
        EXPECT_EQ(page.sum("penstock_tls_certificate_reloads_total",
                           {"result=\"" + std::string(result) + "\""}),
                  0);
}

TEST_F(TlsTerminate, T1_refuses_old_versions_with_an_alert) {
    ProxyProcess proxy(terminating());
    for (const TlsVersion version : {TlsVersion::tls10, TlsVersion::tls11}) {
        TlsClient client({.min_version = version, .max_version = version});
        EXPECT_FALSE(client.open(proxy.address()));
        EXPECT_EQ(client.alert(), alerts::protocol_version) << client.error();
    }
    for (const LogLine& line : expect_lines(proxy, 2)) {
        EXPECT_EQ(line.reason, "tls_failed") << line.raw;
        EXPECT_NE(line.detail, "") << line.raw;
    }
    EXPECT_EQ(handshakes_of(proxy, "failed"), 2);
    EXPECT_EQ(echo.accepted(), 0U);
}

TEST_F(TlsTerminate, T1_refuses_what_is_no_tls) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"5m\"\nclient_hello = \"5m\""));
    const std::string ssl2("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80", 14);
    std::string ssl3 = client_hello({});
    ssl3[1] = 3;
    ssl3[2] = 0;
    ssl3[9] = 3;
    ssl3[10] = 0;
    const std::vector<std::string> texts{"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
                                         "SSH-2.0-OpenSSH_9.2\r\n", ssl2 + std::string(46, '\x01'),
                                         std::string(200, '\0')};
    for (const std::string& text : texts) EXPECT_NE(answer_to(proxy.address(), text), End::open);
    const auto lines = expect_lines(proxy, texts.size());
    EXPECT_EQ(reasons_other_than(lines, "tls_failed"), "");
    // A hello that offers SSL 3 alone.
    std::string offers_old = ssl3;
    const auto versions = offers_old.find(std::string("\x00\x2b", 2), 40);
    if (versions != std::string::npos) offers_old[versions + 1] = '\x7b';
    EXPECT_NE(answer_to(proxy.address(), offers_old), End::open);
    EXPECT_EQ(expect_lines(proxy, texts.size() + 1).back().reason, "tls_failed");
    EXPECT_EQ(echo.accepted(), 0U);
    expect_serving(proxy);
}

TEST_F(TlsTerminate, min_and_max_version_hold) {
    ConfigText config = terminating(R"(min_version = "1.3")");
    config.services.push_back({.name = "old",
                               .backends = {echo.text()},
                               .listener = terminates({a}, R"(max_version = "1.2")")});
    ProxyProcess proxy(config);
    TlsClient old({.max_version = TlsVersion::tls12});
    EXPECT_FALSE(old.open(proxy.address()));
    EXPECT_EQ(old.alert(), alerts::protocol_version);
    TlsClient modern({.min_version = TlsVersion::tls13});
    EXPECT_FALSE(modern.open(proxy.address("old")));
    EXPECT_EQ(modern.alert(), alerts::protocol_version);
    TlsClient any;
    ASSERT_TRUE(any.open(proxy.address("old"))) << any.error();
    EXPECT_EQ(any.version(), "TLSv1.2");
}

TEST_F(TlsTerminate, ciphers_are_those_that_the_file_names) {
    ProxyProcess proxy(
        terminating(R"(max_version = "1.2", ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384")"));
    TlsClient other({.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"});
    EXPECT_FALSE(other.open(proxy.address()));
    EXPECT_EQ(other.alert(), alerts::handshake_failure);
    TlsClient right;
    ASSERT_TRUE(right.open(proxy.address())) << right.error();
    EXPECT_EQ(right.cipher(), "ECDHE-ECDSA-AES256-GCM-SHA384");
}

// ---- Stalls

TEST_F(TlsTerminate, T3_client_that_stalls_anywhere_in_the_handshake_meets_the_deadline) {
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

TEST_F(TlsTerminate, T3_deadline_is_of_the_whole_handshake) {
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

TEST_F(TlsTerminate, T4_every_prefix_of_a_hello_may_end_in_any_way) {
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

TEST_F(TlsTerminate, T4_every_byte_of_a_hello_may_be_wrong) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"1s\""));
    const std::string hello = client_hello(asks());
    std::vector<std::string> openings;
    for (std::size_t at = 0; at < hello.size(); ++at) {
        std::string& wrong = openings.emplace_back(hello);
        wrong[at] = static_cast<char>(wrong[at] ^ (at % 3 == 0 ? 0xFF : 1 << at % 8));
    }
    expect_harmless(proxy, openings);
}

TEST_F(TlsTerminate, T4_records_that_were_altered_end_the_connection) {
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

TEST_F(TlsTerminate, T9_alerts_in_the_midst_of_a_handshake_harm_nobody) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"2s\""));
    const std::string hello = client_hello(asks());
    std::vector<std::string> openings;
    for (const int level : {0, 1, 2, 255})
        for (const int code : {0, 1, 41, 90, 100, 113, 200, 255}) {
            const std::string alert =
                record('\x15', std::string{static_cast<char>(level), static_cast<char>(code)});
            openings.push_back(alert + hello);
            openings.push_back(hello + alert);
        }
    expect_harmless(proxy, openings);
}

// ---- Floods

TEST_F(TlsTerminate, T5_renegotiation_is_refused) {
    ProxyProcess proxy(terminating(R"(max_version = "1.2")"));
    TlsClient client = connected(proxy, asks());
    SSL_renegotiate(client.native());
    client.handshake(5s);
    EXPECT_EQ(client.alert(), alerts::no_renegotiation) << client.error();
    EXPECT_EQ(handshakes_of(proxy, "full"), 1);
}

TEST_F(TlsTerminate, T5_floods_of_records_without_content_are_ended) {
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

TEST_F(TlsTerminate, T5_key_updates_cost_their_sender_as_much_as_the_proxy) {
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

// Their hellos are there before their deadline and their turn comes after it: a signature for each
// would make it later still for those behind them.
TEST_F(TlsTerminate, T6_whose_turn_comes_too_late_costs_no_signature) {
    const Pair heavy = pki.issue("heavy", {.names = {"DNS:heavy"}, .key = KeyKind::rsa});
    ProxyProcess proxy(one_service({echo.text()}, "tls_handshake = \"50ms\"", "",
                                   terminates({heavy}, "session_tickets = false")));
    const std::string hello = client_hello({});
    constexpr std::size_t crowd = 500;
    std::size_t served = 0;
    const bool seen = in_one_of_three_windows([&] {
        std::vector<Socket> clients;
        proxy.signal(SIGSTOP);
        for (std::size_t i = 0; i < crowd; ++i) {
            auto client = Socket::connect(proxy.address());
            if (client && client->send(hello)) clients.push_back(std::move(*client));
        }
        proxy.signal(SIGCONT);
        served = 0;
        for (Socket& client : clients) served += client.receive_text(1).empty() ? 0 : 1;
        return served > 0 && served < clients.size();
    });
    EXPECT_TRUE(seen) << served << " of " << crowd << " were answered";
    EXPECT_GT(handshakes_of(proxy, "timeout"), 0);
}

TEST_F(TlsTerminate, T6_who_leaves_behind_its_hello_costs_no_signature) {
    const Pair heavy = pki.issue("heavy", {.names = {"DNS:heavy"}, .key = KeyKind::rsa});
    ProxyProcess proxy(one_service({echo.text()}, "tls_handshake = \"5m\"", "",
                                   terminates({heavy}, "session_tickets = false")));
    const std::string hello = client_hello({});
    // The first ones take so long that the end of the last one is known by then.
    std::vector<Socket> clients;
    proxy.signal(SIGSTOP);
    for (int i = 0; i < 100; ++i) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client && client->send(hello));
        clients.push_back(std::move(*client));
    }
    clients.back().finish();
    proxy.signal(SIGCONT);
    EXPECT_NE(clients.front().receive_text(1), "");
    EXPECT_EQ(clients.back().receive_text(1), "");
    const LogLine line = expect_lines(proxy, 1)[0];
    EXPECT_EQ(line.reason, "tls_failed") << line.raw;
    EXPECT_NE(line.detail.find("ended the connection during the handshake"), std::string::npos)
        << line.raw;
}

TEST_F(TlsTerminate, T6_storm_of_handshakes_leaves_plain_listeners_alone) {
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

TEST_F(TlsTerminate, T6_no_more_handshakes_at_a_time_than_allowed) {
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

// ---- Data

TEST_F(TlsTerminate, T7_no_byte_is_lost_when_a_client_sends_and_leaves) {
    TlsVersion versions[]{TlsVersion::tls12, TlsVersion::tls13};
    std::mutex mutex;
    std::multiset<std::string> seen;
    ChaosBackend sink([&](Socket& socket, const ChaosBackend&) {
        const std::string text = socket.receive_text(1 << 20);
        const std::scoped_lock lock(mutex);
        seen.insert(text);
    });
    ProxyProcess proxy(one_service({sink.text()}, "", "", terminates({a})));
    std::multiset<std::string> sent;
    const int count = sized(500);
    for (int i = 0; i < count; ++i) {
        TlsClientOptions options = asks();
        options.max_version = versions[i % 4 == 0 ? 0 : 1];
        TlsClient client(options);
        ASSERT_TRUE(client.connect(proxy.address()));
        ASSERT_TRUE(client.handshake()) << client.error();
        // The data and the end leave in one segment, and nothing is read any more.
        const std::string text = std::to_string(i) + std::string(static_cast<std::size_t>(i), 'x');
        client.cork();
        client.send(text);
        client.notify();
        ASSERT_TRUE(client.uncork());
        client.socket().close();
        sent.insert(text);
    }
    const auto lines = expect_lines(proxy, static_cast<std::size_t>(count));
    EXPECT_EQ(reasons_other_than(lines, "completed"), "");
    EXPECT_TRUE(wait_for([&] {
        const std::scoped_lock lock(mutex);
        return seen.size() == sent.size();
    }));
    EXPECT_TRUE(seen == sent);
}

TEST_F(TlsTerminate, T8_client_that_ends_without_close_notify_is_no_clean_end) {
    Watched backend;
    ChaosBackend chaos(backend.script());
    ProxyProcess proxy(one_service({chaos.text()}, "", "", terminates({a})));
    TlsClient client(asks());
    ASSERT_TRUE(client.open(proxy.address()) && client.send("ping"));
    EXPECT_EQ(client.receive_text(4), "pong");
    client.socket().finish();
    EXPECT_EQ(backend.wait(), End::reset);
    const LogLine line = the_line(proxy, {"client_reset", "client", "client", 1});
    EXPECT_EQ(line.bytes_to_backend, 4U);
    EXPECT_NE(line.detail, "") << line.raw;
}

TEST_F(TlsTerminate, T8_truncated_data_is_delivered_before_the_reset) {
    std::string seen;
    std::atomic<bool> over = false;
    End end = End::open;
    ChaosBackend chaos([&](Socket& socket, const ChaosBackend&) {
        seen = socket.receive_text(200'000);
        end = socket.wait_end();
        over = true;
    });
    ProxyProcess proxy(one_service({chaos.text()}, "", "", terminates({a})));
    TlsClient client(asks());
    ASSERT_TRUE(client.open(proxy.address()));
    const std::string text = random_text(200'000);
    ASSERT_TRUE(client.send(text));
    client.socket().finish();
    ASSERT_TRUE(wait_for([&] { return over.load(); }));
    EXPECT_TRUE(seen == text);
    EXPECT_EQ(end, End::reset);
}

TEST_F(TlsTerminate, T8_backends_end_is_a_close_notify_and_its_reset_is_none) {
    ChaosBackend closes([](Socket& socket, const ChaosBackend& self) {
        socket.send("bye");
        socket.finish();
        self.wait_end(socket);
    });
    ChaosBackend resets(scripts::reset_after(4));
    ConfigText config = one_service({closes.text()}, "", "", terminates({a}));
    config.services.push_back(
        {.name = "rude", .backends = {resets.text()}, .listener = terminates({a})});
    ProxyProcess proxy(config);
    TlsClient polite(asks());
    ASSERT_TRUE(polite.open(proxy.address()));
    std::string text;
    EXPECT_EQ(polite.wait_end(patience, &text), TlsEnd::notified);
    EXPECT_EQ(text, "bye");
    polite.notify();
    EXPECT_EQ(polite.socket().wait_end(), End::fin);
    TlsClient hit(asks());
    ASSERT_TRUE(hit.open(proxy.address("rude")));
    ASSERT_TRUE(hit.send("ping"));
    EXPECT_EQ(hit.wait_end(), TlsEnd::reset);
    const auto lines = expect_lines(proxy, 2);
    EXPECT_EQ(lines[0].reason, "completed") << lines[0].raw;
    EXPECT_EQ(lines[1].reason, "backend_reset") << lines[1].raw;
}

TEST_F(TlsTerminate, T8_client_that_never_answers_the_end_holds_nobody_for_ever) {
    ChaosBackend closes([](Socket& socket, const ChaosBackend& self) {
        socket.finish();
        self.wait_end(socket);
    });
    ProxyProcess proxy(
        one_service({closes.text()}, "half_closed = \"500ms\"", "", terminates({a})));
    TlsClient client(asks());
    const auto start = Clock::now();
    ASSERT_TRUE(client.open(proxy.address()));
    EXPECT_EQ(client.wait_end(), TlsEnd::notified);
    the_line(proxy, {"half_closed_timeout", "policy", "proxy", 1});
    EXPECT_TRUE(window_of(500ms).contains(since(start)));
}

TEST_F(TlsTerminate, T8_deadline_ends_with_a_reset_and_no_close_notify) {
    ProxyProcess proxy(terminating("", "idle = \"500ms\""));
    TlsClient client = connected(proxy, asks());
    EXPECT_EQ(client.wait_end(), TlsEnd::reset);
    the_line(proxy, {"idle_timeout", "policy", "proxy", 1});
}

TEST_F(TlsTerminate, T8_half_close_lets_the_other_direction_run_to_its_end) {
    const std::string large = random_text(10U << 20);
    ChaosBackend answers([&](Socket& socket, const ChaosBackend& self) {
        if (socket.receive_text(4) != "data" || self.wait_end(socket) != End::fin) return;
        socket.send(large);
        socket.finish();
        self.wait_end(socket);
    });
    ProxyProcess proxy(one_service({answers.text()}, "", "", terminates({a})));
    for (const TlsVersion version : {TlsVersion::tls12, TlsVersion::tls13}) {
        TlsClientOptions options = asks();
        options.max_version = version;
        TlsClient client(options);
        ASSERT_TRUE(client.open(proxy.address()) && client.send("data"));
        client.notify();
        std::string text;
        EXPECT_EQ(client.wait_end(patience, &text), TlsEnd::notified);
        EXPECT_TRUE(text == large) << text.size();
        client.socket().finish();
        EXPECT_EQ(client.socket().wait_end(), End::fin);
    }
    EXPECT_EQ(reasons_other_than(expect_lines(proxy, 2), "completed"), "");
}

TEST_F(TlsTerminate, N6_reset_of_a_client_reaches_the_backend) {
    Watched backend;
    ChaosBackend chaos(backend.script());
    ProxyProcess proxy(one_service({chaos.text()}, "", "", terminates({a})));
    TlsClient client(asks());
    ASSERT_TRUE(client.open(proxy.address()) && client.send("ping"));
    EXPECT_EQ(client.receive_text(4), "pong");
    client.socket().reset();
    EXPECT_EQ(backend.wait(), End::reset);
    the_line(proxy, {"client_reset", "client", "client", 1});
}

TEST_F(TlsTerminate, N6_what_a_backend_said_before_its_reset_arrives) {
    const std::string text = random_text(100'000);
    std::atomic<bool> may_reset = false;
    ChaosBackend chaos([&](Socket& socket, const ChaosBackend& self) {
        socket.send(text);
        while (!may_reset && !self.stopping()) wait_ready(socket.fd(), 0, Clock::now() + 5ms);
        socket.reset();
    });
    ProxyProcess proxy(one_service({chaos.text()}, "", "", terminates({a})));
    TlsClient client(asks());
    ASSERT_TRUE(client.open(proxy.address()));
    EXPECT_TRUE(client.receive_text(text.size()) == text);
    may_reset = true;
    EXPECT_EQ(client.wait_end(), TlsEnd::reset);
    the_line(proxy, {"backend_reset", "backend", "backend", 1});
}

TEST_F(TlsTerminate, T15_records_of_any_size_in_pieces_of_any_size_pass) {
    ProxyProcess proxy(terminating("", "idle = \"5m\""));
    TlsClient client = connected(proxy, asks());
    for (const std::size_t size : {1UL, 2UL, 255UL, 16'383UL, 16'384UL, 16'385UL, 70'000UL})
        EXPECT_TRUE(client.ping(random_text(size))) << size;
    // Records cut at every byte, and many in one segment.
    const std::string text = random_text(2000);
    for (const char byte : client.seal(text)) ASSERT_TRUE(client.socket().send({&byte, 1}));
    EXPECT_EQ(client.receive_text(text.size()), text);
    std::string many;
    std::string all;
    for (char c = 'a'; c <= 'z'; ++c) {
        many += client.seal(std::string(1, c));
        all += c;
    }
    ASSERT_TRUE(client.socket().send(many));
    EXPECT_EQ(client.receive_text(all.size()), all);
    // The first half of a record, and then the rest with the next.
    const std::string first = client.seal(text);
    ASSERT_TRUE(client.socket().send(first.substr(0, 1000)));
    ASSERT_TRUE(client.socket().send(first.substr(1000) + client.seal("tail")));
    EXPECT_EQ(client.receive_text(text.size() + 4), text + "tail");
    EXPECT_TRUE(client.close_cleanly());
}

TEST_F(TlsTerminate, T15_slow_reader_gets_all_of_a_large_answer) {
    const std::string large = random_text(8U << 20);
    ChaosBackend answers([&](Socket& socket, const ChaosBackend& self) {
        socket.send(large, 60s);
        socket.finish();
        self.wait_end(socket);
    });
    ProxyProcess proxy(one_service({answers.text()}, "", "", terminates({a})));
    TlsClientOptions options = asks();
    options.socket.receive_buffer = 4096;
    TlsClient client(options);
    ASSERT_TRUE(client.open(proxy.address()));
    std::string text;
    EXPECT_EQ(client.wait_end(60s, &text), TlsEnd::notified);
    EXPECT_TRUE(text == large) << text.size();
}

TEST_F(TlsTerminate, T15_both_directions_at_once) {
    ProxyProcess proxy(terminating("", "idle = \"5m\""));
    TlsClient client = connected(proxy, asks());
    // 32 MiB in pieces that the echo answers while the next are on their way.
    const std::string piece = random_text(100'000);
    const int rounds = sized(300);
    std::size_t owed = 0;
    for (int i = 0; i < rounds; ++i) {
        ASSERT_TRUE(client.send(piece));
        owed += piece.size();
        if (owed < 4 * piece.size()) continue;
        ASSERT_TRUE(client.receive_text(piece.size()) == piece) << i;
        owed -= piece.size();
    }
    while (owed > 0) {
        ASSERT_TRUE(client.receive_text(piece.size()) == piece);
        owed -= piece.size();
    }
    EXPECT_TRUE(client.close_cleanly());
}

TEST_F(TlsTerminate, T16_early_data_is_not_offered) {
    ProxyProcess proxy(terminating());
    TlsClient client = connected(proxy, asks());
    const TlsSession session = client.session();
    ASSERT_TRUE(session);
    EXPECT_EQ(session.max_early_data(), 0U);
}

TEST_F(TlsTerminate, T17_environment_does_not_weaken_the_policy) {
    const std::string hostile = files.write("openssl.cnf",
                                            "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\n"
                                            "system_default = weak\n[weak]\n"
                                            "MinProtocol = TLSv1\nMaxProtocol = TLSv1.1\n"
                                            "CipherString = ALL:@SECLEVEL=0\n");
    ProxyProcess proxy(terminating(), {.spawn = {.environment = {{"OPENSSL_CONF", hostile}}}});
    TlsClient old({.min_version = TlsVersion::tls11, .max_version = TlsVersion::tls11});
    EXPECT_FALSE(old.open(proxy.address()));
    TlsClient modern(asks());
    ASSERT_TRUE(modern.open(proxy.address())) << modern.error();
    EXPECT_EQ(modern.version(), "TLSv1.3");
}

TEST_F(TlsTerminate, T18_alpn_is_chosen_by_the_order_of_the_file_or_refused) {
    ProxyProcess proxy(terminating(R"(alpn = ["h2", "http/1.1"])"));
    const auto chosen = [&](const std::vector<std::string>& offered) -> std::string {
        TlsClientOptions options = asks();
        options.alpn = offered;
        TlsClient client(options);
        if (client.open(proxy.address())) return client.alpn();
        return "alert " + std::to_string(client.alert().value_or(-1));
    };
    const std::string refused = "alert " + std::to_string(alerts::no_application_protocol);
    EXPECT_EQ(chosen({"http/1.1", "h2"}), "h2");
    EXPECT_EQ(chosen({"http/1.1"}), "http/1.1");
    EXPECT_EQ(chosen({}), "");
    EXPECT_EQ(chosen({"imap"}), refused);
    EXPECT_EQ(chosen({std::string(255, 'x')}), refused);
    EXPECT_EQ(chosen({std::string(255, 'x'), "h2"}), "h2");
    std::vector<std::string> many(200, "spdy/3");
    EXPECT_EQ(chosen(many), refused);
    many.emplace_back("http/1.1");
    EXPECT_EQ(chosen(many), "http/1.1");
    for (const LogLine& line : expect_lines(proxy, 8))
        EXPECT_TRUE(line.reason == "tls_failed" || line.reason == "client_reset" ||
                    line.reason == "client_gone")
            << line.raw;
    EXPECT_EQ(handshakes_of(proxy, "failed"), 3);
}

TEST_F(TlsTerminate, T18_without_alpn_in_the_file_any_offer_is_fine) {
    ProxyProcess proxy(terminating());
    TlsClientOptions options = asks();
    options.alpn = {"h2"};
    TlsClient client = connected(proxy, options);
    EXPECT_EQ(client.alpn(), "");
    EXPECT_TRUE(client.close_cleanly());
}

TEST_F(TlsTerminate, L5_names_from_the_wire_cannot_break_the_log) {
    ProxyProcess proxy(terminating(R"(alpn = ["h2"])"));
    const std::vector<std::string> names{"a\nb", "\x1b[31mred", "q\"uote", "\xff\xfe"};
    for (const std::string& name : names) {
        TlsClient client({.server_name = name, .alpn = {"h2", name}});
        client.open(proxy.address());
    }
    for (const LogLine& line : expect_lines(proxy, names.size())) EXPECT_EQ(line.problem, "");
}

TEST_F(TlsTerminate, drain_at_a_stop_ends_quiet_clients_with_a_close_notify) {
    ConfigText config = terminating("", "idle = \"5m\"");
    config.drain = R"({ wait = "1s", close_over = "1s" })";
    ProxyProcess proxy(config, {.check_counters = false});
    TlsClient client = connected(proxy, asks());
    proxy.signal(SIGTERM);
    EXPECT_EQ(client.wait_end(), TlsEnd::notified);
    client.notify();
    client.socket().finish();
    EXPECT_EQ(proxy.wait_exit(), 0);
    EXPECT_EQ(proxy.access_log().lines().at(0).reason, "drained");
}

}  // namespace
}  // namespace penstock::test
