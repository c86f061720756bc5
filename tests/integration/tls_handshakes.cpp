// TLS that ends at the proxy: handshakes that stall, break, or come in floods.
#include <gtest/gtest.h>

#include <array>
#include <map>

#include <openssl/ssl.h>
#include <poll.h>

#include "tests/integration/close_case.hpp"
#include "tests/integration/tls_scenario.hpp"

namespace penstock::test {
namespace {

class TlsHandshakes : public TlsScene {
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

/// A record of TLS 1.2 in plain text.
std::string record(char type, std::string_view body) {
    std::string bytes{type, '\x03', '\x03'};
    bytes += static_cast<char>(body.size() >> 8);
    bytes += static_cast<char>(body.size() & 0xFF);
    return bytes + std::string(body);
}

// ---- Stalls

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

TEST_F(TlsHandshakes, T4_every_byte_of_a_hello_may_be_wrong) {
    ProxyProcess proxy(terminating("", "tls_handshake = \"1s\""));
    const std::string hello = client_hello(asks());
    std::vector<std::string> openings;
    for (std::size_t at = 0; at < hello.size(); ++at) {
        std::string& wrong = openings.emplace_back(hello);
        wrong[at] = static_cast<char>(wrong[at] ^ (at % 3 == 0 ? 0xFF : 1 << at % 8));
    }
    expect_harmless(proxy, openings);
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

// Their hellos are there before their deadline and their turn comes after it: a signature for each
// would make it later still for those behind them.
TEST_F(TlsHandshakes, T6_whose_turn_comes_too_late_costs_no_signature) {
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

TEST_F(TlsHandshakes, T6_who_leaves_behind_its_hello_costs_no_signature) {
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

/// Clients of a proxy with two workers that have not said hello yet: as many of each worker.
struct TwoRooms {
    TwoRooms(const ProxyProcess& proxy, std::size_t of_each, const TlsClientOptions& options) {
        const std::size_t count = 16 * of_each;  // where they come to is the kernel's choice
        std::vector<Client> all;
        for (std::size_t i = 0; i < count; ++i) {
            Client& client = all.emplace_back(Client{TlsClient(options), ""});
            client.hello = client.tls.begin();
            EXPECT_TRUE(client.tls.connect(proxy.address()));
        }
        const auto sessions = [&] {
            return get_json(proxy.admin(), "/api/v1/sessions").as_array();
        };
        EXPECT_TRUE(wait_for([&] { return sessions().size() == count; }));
        std::map<std::string, std::size_t> workers;
        for (const auto& session : sessions())
            workers[std::string(session.at("client").as_string())] =
                static_cast<std::size_t>(session.at("worker").as_int64());
        for (Client& client : all) {
            auto& room = of.at(workers.at(client.tls.socket().local().text()));
            if (room.size() < of_each) room.push_back(std::move(client));
        }
    }
    struct Client {
        TlsClient tls;
        std::string hello;
        [[nodiscard]] bool greet() { return tls.socket().send(hello); }
        /// The server's flight has come.
        [[nodiscard]] bool is_served(milliseconds limit = patience) {
            return wait_ready(tls.socket().fd(), POLLIN, Clock::now() + limit);
        }
        void leave() {
            tls.socket().reset();
            has_left = true;
        }
        bool has_left = false;
    };
    std::array<std::vector<Client>, 2> of;
};

// A worker that frees several places at once calls another worker once.
TEST_F(TlsHandshakes, T6_all_places_that_become_free_are_taken) {
    constexpr std::size_t places = 4;
    ConfigText config = terminating("max_handshakes = 4", "tls_handshake = \"5m\"");
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    TwoRooms clients(proxy, places, asks());
    auto& [holders, waiters] = clients.of;
    ASSERT_EQ(holders.size(), places);
    ASSERT_EQ(waiters.size(), places);
    for (auto& holder : holders) ASSERT_TRUE(holder.greet() && holder.is_served());
    for (auto& waiter : waiters) ASSERT_TRUE(waiter.greet());
    EXPECT_FALSE(waiters.back().is_served(300ms));
    proxy.signal(SIGSTOP);
    for (auto& holder : holders) holder.leave();
    proxy.signal(SIGCONT);
    for (auto& waiter : waiters) EXPECT_TRUE(waiter.is_served());
}

TEST_F(TlsHandshakes, T6_no_worker_keeps_its_places_for_its_own_clients) {
    ConfigText config = terminating("max_handshakes = 1", "tls_handshake = \"5m\"");
    config.process = "workers = 2";
    ProxyProcess proxy(config);
    TwoRooms clients(proxy, 4, asks());
    auto& [here, there] = clients.of;
    ASSERT_EQ(here.size(), 4U);
    ASSERT_EQ(there.size(), 4U);
    ASSERT_TRUE(here[0].greet() && here[0].is_served());
    for (std::size_t i = 1; i < 4; ++i) ASSERT_TRUE(here[i].greet());
    for (auto& client : there) ASSERT_TRUE(client.greet());
    EXPECT_FALSE(there.back().is_served(300ms));
    here[0].leave();
    // One after the other is served, and leaves: after three of them both sides have had one.
    std::array<int, 2> served{};
    for (int turn = 0; turn < 3; ++turn) {
        const auto next = [&]() -> std::pair<std::size_t, TwoRooms::Client*> {
            for (std::size_t worker = 0; worker < 2; ++worker)
                for (auto& client : clients.of[worker])
                    if (!client.has_left && client.is_served(0ms)) return {worker, &client};
            return {0, nullptr};
        };
        ASSERT_TRUE(wait_for([&] { return next().second != nullptr; }));
        const auto [worker, client] = next();
        ++served[worker];
        client->leave();
    }
    EXPECT_GT(served[0], 0);
    EXPECT_GT(served[1], 0);
}

}  // namespace
}  // namespace penstock::test
