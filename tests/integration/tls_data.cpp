// TLS that ends at the proxy: what is said behind the handshake, and how it ends.
#include <gtest/gtest.h>

#include <set>

#include "tests/integration/close_case.hpp"
#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

using TlsData = TlsScene;

TEST_F(TlsData, T7_no_byte_is_lost_when_a_client_sends_and_leaves) {
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

TEST_F(TlsData, T8_client_that_ends_without_close_notify_is_no_clean_end) {
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

TEST_F(TlsData, T8_truncated_data_is_delivered_before_the_reset) {
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

TEST_F(TlsData, T8_backends_end_is_a_close_notify_and_its_reset_is_none) {
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

TEST_F(TlsData, T8_client_that_never_answers_the_end_holds_nobody_for_ever) {
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

TEST_F(TlsData, T8_deadline_ends_with_a_reset_and_no_close_notify) {
    ProxyProcess proxy(terminating("", "idle = \"500ms\""));
    TlsClient client = connected(proxy, asks());
    EXPECT_EQ(client.wait_end(), TlsEnd::reset);
    the_line(proxy, {"idle_timeout", "policy", "proxy", 1});
}

TEST_F(TlsData, T8_half_close_lets_the_other_direction_run_to_its_end) {
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

TEST_F(TlsData, N6_reset_of_a_client_reaches_the_backend) {
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

TEST_F(TlsData, N6_what_a_backend_said_before_its_reset_arrives) {
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

TEST_F(TlsData, T15_records_of_any_size_in_pieces_of_any_size_pass) {
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

TEST_F(TlsData, T15_slow_reader_gets_all_of_a_large_answer) {
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

TEST_F(TlsData, T15_both_directions_at_once) {
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

TEST_F(TlsData, drain_at_a_stop_ends_quiet_clients_with_a_close_notify) {
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
