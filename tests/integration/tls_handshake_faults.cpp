// Handshakes that stop, end or go wrong at any byte: those of clients with the proxy, and those of
// the proxy with backends.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

/// Every byte of a handshake takes a connection; sanitizers see a part of them.
constexpr std::size_t step = sanitized ? 7 : 1;

/// How long what a client says is in an undisturbed handshake: its hello, and all of it.
struct Length {
    std::size_t hello = 0;
    std::size_t whole = 0;
};

/// A client that says the first `cut` bytes of its part of a handshake.
struct Cut {
    TlsClient client;
    std::size_t cut = 0;

    [[nodiscard]] bool finished() const {
        return client.said() >= cut || client.end() != TlsEnd::open;
    }
};

class TlsHandshakeFaults : public TlsScene {
protected:
    [[nodiscard]] TlsClientOptions asks_with(TlsVersion version) const {
        TlsClientOptions options = asks();
        options.min_version = options.max_version = version;
        return options;
    }

    [[nodiscard]] Length length_of(const ProxyProcess& proxy, TlsVersion version) const {
        TlsClient client(asks_with(version));
        EXPECT_TRUE(client.open(proxy.address())) << client.error();
        const Length length{client_hello(asks_with(version)).size(), client.said()};
        EXPECT_TRUE(client.close_cleanly());
        EXPECT_GT(length.whole, length.hello + 32) << "a Finished at least";
        return length;
    }

    /// Clients that stop behind each byte but the last.
    [[nodiscard]] std::vector<Cut> cut_everywhere(const Length& length, TlsVersion version) const {
        std::vector<Cut> cuts;
        for (std::size_t k = 0; k < length.whole; k += step) {
            cuts.push_back({TlsClient(asks_with(version)), k});
            cuts.back().client.stall_after(k);
        }
        return cuts;
    }

    /// All at the same time: each goes on when the proxy has answered it. True when each of them
    /// has said what it has to say, or is over.
    static bool shake_all(const Address& proxy, std::vector<Cut>& cuts) {
        for (Cut& each : cuts)
            if (!each.client.connect(proxy)) return false;
        return wait_for([&] {
            bool all = true;
            for (Cut& each : cuts) {
                if (!each.finished()) each.client.handshake(0ms);
                all = all && each.finished();
            }
            return all;
        });
    }

    /// Waits until exactly that many connections have ended, whatever the reason.
    static void expect_closed(const ProxyProcess& proxy, std::size_t count) {
        const auto closed = [&] { return metrics_of(proxy).sum("penstock_sessions_closed_total"); };
        EXPECT_TRUE(wait_for([&] { return closed() >= static_cast<double>(count); }));
        EXPECT_EQ(closed(), static_cast<double>(count));
    }

    static double closed_for(const ProxyProcess& proxy, const std::string& reason) {
        return metrics_of(proxy).sum("penstock_sessions_closed_total",
                                     {"reason=\"" + reason + "\""});
    }
};

constexpr TlsVersion versions[]{TlsVersion::tls12, TlsVersion::tls13};

// ---- Clients

// A hello of SSL 3 has no extensions; it says its version in both heads.
TEST_F(TlsHandshakeFaults, T1_ssl_3_is_answered_with_the_alert_that_says_why) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"5m\"\nclient_hello = \"5m\""));
    const std::string body = std::string("\x03\x00", 2) + std::string(32, 'r') +
                             std::string(
                                 "\0"  // no session
                                 "\0\x04\0\x2f\0\x0a"  // AES-128-CBC, 3DES
                                 "\x01\0",  // no compression
                                 9);
    const std::string hello = std::string("\x16\x03\x00\0", 4) +
                              static_cast<char>(body.size() + 4) + std::string("\x01\0\0", 3) +
                              static_cast<char>(body.size()) + body;
    auto socket = Socket::connect(proxy.address());
    ASSERT_TRUE(socket && socket->send(hello));
    const std::string answer = socket->receive_text(7);
    ASSERT_EQ(answer.size(), 7U);
    EXPECT_EQ(answer[0], '\x15') << "an alert";
    EXPECT_EQ(answer[5], '\x02') << "fatal";
    EXPECT_EQ(answer[6], alerts::handshake_failure) << "SSL 3 has no alert about the version";
    EXPECT_EQ(socket->receive_text(1), "") << "and nothing behind it";
    EXPECT_NE(socket->wait_end(), End::open);
    const LogLine line = expect_lines(proxy, 1).at(0);
    EXPECT_EQ(line.reason, "tls_failed") << line.raw;
    EXPECT_NE(line.detail.find("version"), std::string::npos) << line.raw;
    EXPECT_EQ(handshakes_of(proxy, "failed"), 1);
    EXPECT_EQ(echo.accepted(), 0U);
}

TEST_F(TlsHandshakeFaults, T3_client_that_stalls_behind_any_byte_meets_the_deadline) {
    // Places for one version: who kept its place would be missed by the next.
    ProxyProcess proxy(
        terminating("max_handshakes = 512", "tls_handshake = \"3s\"\nidle = \"5m\""));
    const std::size_t baseline = proxy.descriptors();
    double timeouts = 0;
    for (const TlsVersion version : versions) {
        const Length length = length_of(proxy, version);
        EXPECT_TRUE(in_one_of_three_windows([&] {
            std::vector<Cut> cuts = cut_everywhere(length, version);
            const auto start = Clock::now();
            EXPECT_TRUE(shake_all(proxy.address(), cuts));
            bool in_time = true;
            for (const Cut& each : cuts) in_time = in_time && each.client.said() == each.cut;
            for (Cut& each : cuts)
                EXPECT_NE(each.client.socket().wait_end(), End::open) << each.cut;
            EXPECT_GE(since(start), 3s);
            timeouts += static_cast<double>(cuts.size());
            EXPECT_TRUE(wait_for([&] { return handshakes_of(proxy, "timeout") >= timeouts; }));
            return in_time;
        }));
    }
    EXPECT_EQ(handshakes_of(proxy, "timeout"), timeouts);
    EXPECT_EQ(closed_for(proxy, "tls_timeout"), timeouts);
    EXPECT_EQ(handshakes_of(proxy, "failed"), 0);
    for (const LogLine& line : proxy.access_log().lines()) {
        if (line.reason == "completed") continue;
        EXPECT_EQ(line.reason, "tls_timeout") << line.raw;
        EXPECT_NE(line.detail, "max_handshakes") << line.raw;
        EXPECT_GE(line.duration_ms, 3000) << line.raw;
        EXPECT_LE(line.duration_ms, window_of(3s).latest.count()) << line.raw;
    }
    EXPECT_EQ(echo.accepted(), std::size(versions));
    expect_descriptors(proxy, baseline);
    expect_serving(proxy);
}

TEST_F(TlsHandshakeFaults, T4_client_may_end_behind_any_byte_by_fin_or_reset) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"10m\"\nclient_hello = \"10m\""));
    const std::size_t baseline = proxy.descriptors();
    std::size_t ended = 0;
    for (const TlsVersion version : versions) {
        const Length length = length_of(proxy, version);
        ++ended;
        for (const End by : {End::fin, End::reset}) {
            std::vector<Cut> cuts = cut_everywhere(length, version);
            ASSERT_TRUE(shake_all(proxy.address(), cuts));
            for (Cut& each : cuts) {
                ASSERT_EQ(each.client.said(), each.cut) << each.client.error();
                by == End::fin ? each.client.socket().finish() : each.client.socket().reset();
            }
            for (Cut& each : cuts) {
                if (by == End::fin) {
                    EXPECT_NE(each.client.socket().wait_end(), End::open) << each.cut;
                }
            }
            ended += cuts.size();
            expect_closed(proxy, ended);
        }
    }
    EXPECT_EQ(closed_for(proxy, "tls_failed") + closed_for(proxy, "client_gone") +
                  static_cast<double>(std::size(versions)),
              static_cast<double>(ended));
    EXPECT_EQ(handshakes_of(proxy, "full"), std::size(versions));
    EXPECT_EQ(echo.accepted(), std::size(versions));
    expect_descriptors(proxy, baseline);
    expect_serving(proxy);
}

// The hello's bytes in tls_terminate.cpp; these are those of the client's second flight.
TEST_F(TlsHandshakeFaults, T4_any_byte_of_the_end_of_a_handshake_may_be_wrong) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"10m\"\nclient_hello = \"10m\""));
    std::size_t ended = 0;
    std::size_t wrong = 0;
    for (const TlsVersion version : versions) {
        const Length length = length_of(proxy, version);
        ++ended;
        for (const unsigned bits : {0x01U, 0x80U, 0xFFU}) {
            std::vector<Cut> cuts;
            for (std::size_t at = length.hello; at < length.whole; at += step) {
                cuts.push_back({TlsClient(asks_with(version)), length.whole});
                cuts.back().client.alter(at, bits);
            }
            ASSERT_TRUE(shake_all(proxy.address(), cuts));
            // A length that has grown: the end behind it is an answer as well.
            for (Cut& each : cuts) each.client.socket().finish();
            for (Cut& each : cuts) EXPECT_NE(each.client.socket().wait_end(), End::open);
            wrong += cuts.size();
            ended += cuts.size();
            expect_closed(proxy, ended);
        }
    }
    // Nobody may tell what a record of the handshake says, but for the version in its head, which
    // OpenSSL does not look at everywhere.
    const double accepted = handshakes_of(proxy, "full") - std::size(versions);
    EXPECT_EQ(handshakes_of(proxy, "failed"), static_cast<double>(wrong) - accepted);
    EXPECT_LE(accepted, sized(24));
    for (const LogLine& line : proxy.access_log().lines())
        EXPECT_TRUE(line.reason == "completed" || line.reason == "tls_failed" ||
                    (line.reason == "client_reset" && line.bytes_to_backend == 0))
            << line.raw;
    expect_serving(proxy);
}

// ---- Backends

class TlsBackendFaults : public TlsScene {
protected:
    // The chain is short, so that there are no more bytes than need be.
    Pair pair = pki.issue("backend", {.names = {"IP:127.0.0.1"}, .intermediates = 0});

    /// How much a backend says in an undisturbed handshake, but for the length of a signature.
    [[nodiscard]] std::size_t said_by_backend(TlsVersion version) const {
        TlsEchoServer server({.pair = pair, .max_version = version, .tickets = false});
        ProxyProcess proxy(to(server, "5s"));
        EXPECT_TRUE(echo_once(proxy.address())) << proxy.errors();
        return server.wait_over(1).at(0).said;
    }

    [[nodiscard]] ConfigText to(const TlsEchoServer& server, const std::string& timeout) const {
        return one_service({server.text()}, "",
                           encrypts(pki.ca_file(), "session_reuse = false") +
                               "attempts = 1\nconnect_timeout = \"" + timeout + "\"\n");
    }

    /// A server that says nothing in its first handshake, and in each one that follows a bit more.
    [[nodiscard]] TlsServerOptions cut_everywhere(TlsVersion version,
                                                  End gives_up = End::open) const {
        return {.pair = pair,
                .max_version = version,
                .stalls_after = 0,
                .stalls_later = step,
                .gives_up = gives_up,
                .tickets = false};  // which would be said behind the handshake
    }

    /// So many clients at once, and their ends.
    static void knock(const Address& proxy, std::size_t count) {
        std::vector<Socket> clients;
        for (std::size_t i = 0; i < count; ++i) {
            auto client = Socket::connect(proxy);
            ASSERT_TRUE(client && client->send("x"));
            client->finish();
            clients.push_back(std::move(*client));
        }
        for (Socket& client : clients) EXPECT_NE(client.wait_end(), End::open);
    }

    static double failures(const ProxyProcess& proxy, const std::string& error = "") {
        std::vector<std::string> labels;
        if (!error.empty()) labels.push_back("error=\"" + error + "\"");
        return metrics_of(proxy).sum("penstock_backend_connect_failures_total", labels);
    }
};

TEST_F(TlsBackendFaults, T3_backend_that_stalls_behind_any_byte_meets_the_connect_timeout) {
    for (const TlsVersion version : versions) {
        const std::size_t count = said_by_backend(version) / step;
        ASSERT_GT(count, 500 / step);
        EXPECT_TRUE(in_one_of_three_windows([&] {
            TlsEchoServer server(cut_everywhere(version));
            ProxyProcess proxy(to(server, "3s"));
            const std::size_t baseline = proxy.descriptors();
            knock(proxy.address(), count);
            const auto visits = server.wait_over(count);
            EXPECT_EQ(visits.size(), count);
            const auto stalled = std::ranges::count_if(visits, &TlsVisit::stalled);
            const auto late = std::ranges::count_if(visits, [](const TlsVisit& visit) {
                return !visit.stalled && !visit.established;  // cut off before it could stall
            });
            // A signature of ECDSA has not always the same length.
            EXPECT_GE(stalled + late + 4, static_cast<std::ptrdiff_t>(count));
            for (const LogLine& line : expect_lines(proxy, count)) {
                if (line.reason == "completed") continue;
                EXPECT_EQ(line.reason, "connect_failed") << line.raw;
                EXPECT_EQ(line.attempts.at(0).error, "timeout") << line.raw;
                EXPECT_TRUE(window_of(3s).contains(
                    milliseconds(static_cast<std::int64_t>(line.attempts.at(0).ms))))
                    << line.raw;
            }
            EXPECT_EQ(failures(proxy, "timeout"), static_cast<double>(stalled + late));
            EXPECT_EQ(metrics_of(proxy).sum("penstock_backend_connections_active"), 0);
            expect_descriptors(proxy, baseline);
            return late == 0;
        }));
    }
}

TEST_F(TlsBackendFaults, T4_backend_may_end_behind_any_byte_by_fin_or_reset) {
    for (const TlsVersion version : versions) {
        const std::size_t count = said_by_backend(version) / step;
        for (const End by : {End::fin, End::reset}) {
            TlsEchoServer server(cut_everywhere(version, by));
            ProxyProcess proxy(to(server, "10m"));
            const std::size_t baseline = proxy.descriptors();
            knock(proxy.address(), count);
            const auto visits = server.wait_over(count);
            EXPECT_EQ(visits.size(), count);
            const auto stalled = std::ranges::count_if(visits, &TlsVisit::stalled);
            EXPECT_GE(stalled + 4, static_cast<std::ptrdiff_t>(count));
            for (const LogLine& line : expect_lines(proxy, count)) {
                if (line.reason == "completed") continue;
                EXPECT_EQ(line.reason, "connect_failed") << line.raw;
                EXPECT_NE(line.attempts.at(0).error, "") << line.raw;
            }
            EXPECT_EQ(failures(proxy), static_cast<double>(stalled));
            EXPECT_EQ(failures(proxy, "timeout"), 0);
            expect_descriptors(proxy, baseline);
        }
    }
}

}  // namespace
}  // namespace penstock::test
