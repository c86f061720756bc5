// What comes before a client is sent anywhere, through a worker that serves.
#include "proxy/front/arrival.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "net/tls/stream.hpp"
#include "tests/unit/net/bytes.hpp"
#include "tests/unit/net/tls/test_certificates.hpp"
#include "tests/unit/proxy/running_worker.hpp"

namespace penstock::proxy {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using enum CloseReason;
using net::counted;
using net::u16;
using net::u8;
using net::UniqueFd;

PeerList networks(const std::vector<std::string>& list) {
    PeerList out;
    for (const auto& text : list) out.prefixes.push_back(Prefix::parse(text).value());
    return out;
}

/// Everybody on this machine is trusted to send a PROXY header.
config::Listener behind_a_proxy() {
    config::Listener listener;
    listener.proxy_protocol = config::ProxyProtocol::any;
    listener.proxy_protocol_from = networks({"127.0.0.0/8"});
    return listener;
}
config::Listener named(const std::string& name) {
    config::Listener listener;
    listener.sni = {{name, "up"}};
    return listener;
}
config::Listener with_tls(std::uint64_t max_handshakes = 0) {
    config::Listener listener;
    listener.tls.emplace();
    listener.tls->max_handshakes = max_handshakes;
    return listener;
}

const std::string header_of_ten = "PROXY TCP4 10.0.0.9 192.0.2.1 5555 443\r\n";

/// A ClientHello for that name.
std::string hello(const std::string& name) {
    const auto extension = [](std::size_t type, const std::string& body) {
        return u16(type) + counted(2, body);
    };
    const std::string extensions =
        extension(0, counted(2, u8(0) + counted(2, name))) +
        extension(16, counted(2, counted(1, "h2") + counted(1, "http/1.1")));
    const std::string body = "\x03\x03"s + std::string(32, 'r') + counted(1, "") +
                             counted(2, "\x13\x01") + counted(1, "\0"s) + counted(2, extensions);
    return u8(22) + "\x03\x01" + counted(2, u8(1) + counted(3, body));
}

std::string read_exactly(const UniqueFd& fd, std::size_t size) {
    std::string text(size, '\0');
    const auto n = ::recv(fd.get(), text.data(), size, MSG_WAITALL);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    return text;
}

/// Each piece is read before the next one is sent.
void say_in_pieces(RunningWorker& running, const UniqueFd& fd, const std::string& text,
                   std::size_t size) {
    for (std::size_t at = 0; at < text.size(); at += size) {
        net::say(fd, text.substr(at, size));
        running.on_worker([] { return 0; });
    }
}

std::vector<SessionInfo> sessions_of(RunningWorker& running) {
    return running.on_worker([&] { return running.worker.list_sessions({}); });
}

void expect_end(RunningWorker& running, CloseReason reason, std::uint64_t count = 1) {
    ASSERT_TRUE(running.wait_for_sessions(0));
    EXPECT_EQ(running.closed(reason), count) << name_of(reason);
}

// --- the PROXY header -------------------------------------------------------------------------

TEST(ArrivalHeader, P2_comes_in_any_pieces_and_what_follows_is_the_clients) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
        RunningWorker running(behind_a_proxy());
        const UniqueFd client = running.connect();
        say_in_pieces(running, client, header_of_ten + "hello", size);
        const UniqueFd backend = running.accept_backend();
        EXPECT_EQ(read_exactly(backend, 5), "hello");
        const auto sessions = sessions_of(running);
        ASSERT_EQ(sessions.size(), 1U);
        EXPECT_EQ(sessions[0].client, "10.0.0.9:5555");
        EXPECT_TRUE(arrives(backend, client));
        EXPECT_EQ(
            running.on_worker([&] { return running.worker.list_sessions({})[0]; }).bytes_to_backend,
            5U)
            << "the header is no payload";
    }
}

TEST(ArrivalHeader, P13_the_gate_asks_for_the_client_that_it_names) {
    config::Listener listener = behind_a_proxy();
    listener.deny = networks({"10.0.0.9", "127.0.0.0/8"});  // the proxy itself is no client
    RunningWorker running(listener);
    const UniqueFd denied_one = running.connect();
    net::say(denied_one, header_of_ten);
    EXPECT_NE(end_of(denied_one), End::nothing);
    expect_end(running, denied);
    const UniqueFd other = running.connect();
    net::say(other, "PROXY TCP4 10.0.0.8 192.0.2.1 5555 443\r\n");
    const UniqueFd backend = running.accept_backend();
    EXPECT_TRUE(arrives(other, backend));
}

TEST(ArrivalHeader, P13_limits_per_source_count_the_client_that_it_names) {
    config::Listener listener = behind_a_proxy();
    listener.max_connections_per_source = 1;
    RunningWorker running(listener);
    UniqueFd first = running.connect();
    net::say(first, header_of_ten);
    UniqueFd first_backend = running.accept_backend();
    ASSERT_TRUE(arrives(first, first_backend));
    const UniqueFd second = running.connect();
    net::say(second, header_of_ten);
    EXPECT_NE(end_of(second), End::nothing);
    EXPECT_TRUE(running.wait_until([&] { return running.closed(limit_source) == 1; }));
    const UniqueFd other = running.connect();
    net::say(other, "PROXY TCP4 10.0.0.8 192.0.2.1 5555 443\r\n");
    const UniqueFd other_backend = running.accept_backend();
    EXPECT_TRUE(arrives(other, other_backend));
    // The place is given back.
    first.reset();
    first_backend.reset();
    ASSERT_TRUE(running.wait_for_sessions(1));
    const UniqueFd third = running.connect();
    net::say(third, header_of_ten);
    const UniqueFd third_backend = running.accept_backend();
    EXPECT_TRUE(arrives(third, third_backend));
}

TEST(ArrivalHeader, an_unknown_client_has_the_address_of_the_connection) {
    RunningWorker running(behind_a_proxy());
    const UniqueFd client = running.connect();
    net::say(client, "PROXY UNKNOWN\r\n");
    const UniqueFd backend = running.accept_backend();
    ASSERT_TRUE(arrives(client, backend));
    EXPECT_TRUE(sessions_of(running)[0].client.starts_with("127.0.0.1:"));
}

TEST(ArrivalHeader, P12_of_a_stranger_is_refused_ignored_or_not_expected) {
    using enum config::ProxyProtocolUntrusted;
    config::Listener listener = behind_a_proxy();
    listener.proxy_protocol_from = networks({"192.0.2.0/24"});
    {
        listener.proxy_protocol_untrusted = refuse;
        RunningWorker running(listener);
        const UniqueFd client = running.connect();
        EXPECT_NE(end_of(client), End::nothing);
        EXPECT_TRUE(
            running.wait_until([&] { return running.closed(proxy_header_untrusted) == 1; }));
    }
    for (const auto rule : {ignore, direct}) {
        listener.proxy_protocol_untrusted = rule;
        RunningWorker running(listener);
        const UniqueFd client = running.connect();
        net::say(client, header_of_ten + "hello");
        const UniqueFd backend = running.accept_backend();
        const std::string expected = rule == ignore ? "hello" : header_of_ten + "hello";
        EXPECT_EQ(read_exactly(backend, expected.size()), expected);
        EXPECT_TRUE(sessions_of(running)[0].client.starts_with("127.0.0.1:"));
    }
}

TEST(ArrivalHeader, what_is_none_or_is_cut_off_is_invalid) {
    for (const std::string text :
         {"GET / HTTP/1.1\r\n", "PROXY TCP4 10.0.0.9 192.0.2.1 5555\r\n"}) {
        RunningWorker running(behind_a_proxy());
        const UniqueFd client = running.connect();
        net::say(client, text);
        EXPECT_NE(end_of(client), End::nothing) << text;
        expect_end(running, proxy_header_invalid);
    }
    RunningWorker running(behind_a_proxy());
    const UniqueFd client = running.connect();
    net::say(client, header_of_ten.substr(0, 20));
    ::shutdown(client.get(), SHUT_WR);
    EXPECT_NE(end_of(client), End::nothing);
    expect_end(running, proxy_header_invalid);
}

TEST(ArrivalHeader, one_that_never_says_a_word_is_gone) {
    RunningWorker running(behind_a_proxy());
    UniqueFd client = running.connect();
    ASSERT_TRUE(running.wait_for_sessions(1));
    client.reset();
    expect_end(running, client_gone);
}

TEST(ArrivalHeader, the_rule_goes_with_a_connection_to_another_worker) {
    using enum config::ProxyProtocolUntrusted;
    for (const bool trusted : {true, false}) {
        config::Listener listener = behind_a_proxy();
        if (!trusted) {
            listener.proxy_protocol_from = networks({"192.0.2.0/24"});
            listener.proxy_protocol_untrusted = ignore;
        }
        RunningWorker running(listener, {}, 1, nullptr, 2);
        for (int i = 0; i < 100; ++i) running.shared.loads.add(0);  // it has clearly too many
        const UniqueFd client = running.connect();
        net::say(client, header_of_ten + "hello");
        const UniqueFd backend = running.accept_backend();
        EXPECT_EQ(read_exactly(backend, 5), "hello");
        Worker& second = *running.others[0];
        const auto sessions = RunningWorker::on(second, [&] { return second.list_sessions({}); });
        ASSERT_EQ(sessions.size(), 1U);
        EXPECT_EQ(sessions[0].worker, 1U);
        EXPECT_EQ(sessions[0].client == "10.0.0.9:5555", trusted) << sessions[0].client;
    }
}

// --- the ClientHello --------------------------------------------------------------------------

TEST(ArrivalHello, S2_comes_in_any_pieces_and_goes_to_the_backend_untouched) {
    const std::string text = hello("a.test") + "more";
    for (const std::size_t size : {std::size_t{1}, std::size_t{50}, std::size_t{1000}}) {
        RunningWorker running(named("a.test"));
        const UniqueFd client = running.connect();
        say_in_pieces(running, client, text, size);
        const UniqueFd backend = running.accept_backend();
        EXPECT_EQ(read_exactly(backend, text.size()), text);
        const auto sessions = sessions_of(running);
        ASSERT_EQ(sessions.size(), 1U);
        EXPECT_EQ(sessions[0].server_name, "a.test");
        EXPECT_TRUE(arrives(backend, client));
    }
}

TEST(ArrivalHello, P14_behind_a_header_both_in_one_segment) {
    config::Listener listener = behind_a_proxy();
    listener.sni = {{"a.test", "up"}};
    RunningWorker running(listener);
    const UniqueFd client = running.connect();
    net::say(client, header_of_ten + hello("a.test"));
    const UniqueFd backend = running.accept_backend();
    EXPECT_EQ(read_exactly(backend, hello("a.test").size()), hello("a.test"));
    EXPECT_EQ(sessions_of(running)[0].server_name, "a.test");
    EXPECT_EQ(sessions_of(running)[0].client, "10.0.0.9:5555");
}

TEST(ArrivalHello, what_is_no_tls_has_no_name) {
    RunningWorker running(named("a.test"));
    const UniqueFd client = running.connect();
    net::say(client, "GET / HTTP/1.1\r\n");
    const UniqueFd backend = running.accept_backend();
    EXPECT_EQ(read_exactly(backend, 16), "GET / HTTP/1.1\r\n");
    EXPECT_EQ(sessions_of(running)[0].server_name, "");
}

TEST(ArrivalHello, that_is_broken_too_long_or_cut_off_is_invalid) {
    config::Listener small = named("a.test");
    small.client_hello_max = 64;
    const std::string good = hello("a.test");
    struct Case {
        config::Listener listener;
        std::string text;
        bool ends;
    };
    for (const auto& [listener, text, ends] :
         {Case{named("a.test"), "\x16\x03\x01\xff\xff"s, false}, Case{small, good, false},
          Case{named("a.test"), good.substr(0, 40), true}}) {
        RunningWorker running(listener);
        const UniqueFd client = running.connect();
        net::say(client, text);
        if (ends) ::shutdown(client.get(), SHUT_WR);
        EXPECT_NE(end_of(client), End::nothing);
        expect_end(running, client_hello_invalid);
    }
}

// --- the handshake ----------------------------------------------------------------------------

std::shared_ptr<const net::tls::ServerContext> server_context() {
    static const net::tls::TestCertificate certificate = net::tls::certificate_for("a.test");
    return net::tls::ServerContext::make({.name = "web", .certificates = {certificate.pair()}},
                                         std::make_shared<net::tls::TicketKeys>())
        .value();
}

/// A client that speaks TLS, in a loop of its own.
class TlsPeer {
public:
    explicit TlsPeer(UniqueFd fd) {
        ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
        socket_.adopt(std::move(fd), net::SocketKind::tcp);
        net::require(!loop_.poller().add(socket_, net::Poller::stream_events), "epoll_ctl");
    }
    /// Its first flight, and no more.
    bool say_hello() {
        return net::turn_until(loop_,
                               [&] { return stream_.handshake() == net::IoStatus::want_read; });
    }
    bool shake() {
        net::IoStatus status{};
        const bool ended = net::turn_until(loop_, [&] {
            status = stream_.handshake();
            return status == net::IoStatus::ok || status == net::IoStatus::error;
        });
        return ended && status == net::IoStatus::ok;
    }
    bool say(std::string_view text) {
        return stream_.send(std::as_bytes(std::span(text))).bytes == text.size();
    }
    [[nodiscard]] int fd() const { return socket_.fd(); }
    void leave() { socket_.reset(); }

private:
    net::EventLoop loop_{1 << 20};
    net::IgnoreHangups handler_;
    net::Socket socket_{handler_};
    std::shared_ptr<const net::tls::ClientContext> context_ =
        net::tls::ClientContext::make(
            {.ca_file = "/t/ca.pem", .ca_pem = net::tls::test_authority().cert_pem})
            .value();
    net::tls::Stream stream_{*context_, socket_, "a.test", nullptr};
};

std::uint64_t shaking(RunningWorker& running) { return running.web->account->handshakes.used(); }

metrics::ListenerTotals totals_of(RunningWorker& running) {
    return listener_figures(*running.web->account).totals;
}
std::uint64_t handshakes(RunningWorker& running, metrics::Handshake how) {
    return totals_of(running).handshakes[static_cast<std::size_t>(how)];
}

TEST(ArrivalTls, ends_here_and_is_counted) {
    RunningWorker running(with_tls(), {}, 1, server_context());
    TlsPeer client(running.connect());
    ASSERT_TRUE(client.shake());
    ASSERT_TRUE(client.say("hello"));
    const UniqueFd backend = running.accept_backend();
    EXPECT_EQ(read_exactly(backend, 5), "hello");
    EXPECT_EQ(handshakes(running, metrics::Handshake::full), 1U);
    EXPECT_EQ(totals_of(running).handshake_time.count(), 1U);
    EXPECT_EQ(shaking(running), 0U);
}

TEST(ArrivalTls, what_is_no_tls_fails) {
    RunningWorker running(with_tls(1), {}, 1, server_context());
    const UniqueFd client = running.connect();
    net::say(client, "GET / HTTP/1.1\r\n\r\n");
    EXPECT_NE(end_of(client), End::nothing);
    expect_end(running, tls_failed);
    EXPECT_EQ(handshakes(running, metrics::Handshake::failed), 1U);
    EXPECT_EQ(shaking(running), 0U);
}

// T6: one is under way, the others wait. An event of a socket, here the hello, costs no place.
TEST(ArrivalTls, T6_the_waiting_go_on_in_the_order_they_came) {
    RunningWorker running(with_tls(1), {}, 1, server_context());
    UniqueFd holder = running.connect();
    ASSERT_TRUE(running.wait_until([&] { return shaking(running) == 1; }));
    TlsPeer first(running.connect());
    ASSERT_TRUE(running.wait_for_sessions(2));
    TlsPeer second(running.connect());
    ASSERT_TRUE(running.wait_for_sessions(3));
    for (TlsPeer* each : {&second, &first}) {
        ASSERT_TRUE(each->say_hello());
        for (int i = 0; i < 3; ++i) running.on_worker([] { return 0; });
    }
    holder.reset();
    // Who is not first gets no answer until the first one has answered.
    pollfd answered[] = {{first.fd(), POLLIN, 0}, {second.fd(), POLLIN, 0}};
    ASSERT_GT(::poll(answered, 2, 20'000), 0);
    EXPECT_NE(answered[0].revents, 0);
    EXPECT_EQ(answered[1].revents, 0);
    EXPECT_TRUE(first.shake());
    EXPECT_TRUE(second.shake());
    EXPECT_TRUE(
        running.wait_until([&] { return handshakes(running, metrics::Handshake::full) == 2; }));
    EXPECT_TRUE(running.wait_until([&] { return shaking(running) == 0; }));
}

TEST(ArrivalTls, T6_the_turn_of_one_who_leaves_is_the_next_ones) {
    RunningWorker running(with_tls(1), {}, 1, server_context());
    UniqueFd holder = running.connect();
    ASSERT_TRUE(running.wait_until([&] { return shaking(running) == 1; }));
    UniqueFd leaves = running.connect();
    ASSERT_TRUE(running.wait_for_sessions(2));
    TlsPeer next(running.connect());
    ASSERT_TRUE(running.wait_for_sessions(3));
    // Both in one turn: the first one calls the second one, which is on its way out.
    running.on_worker([&] {
        auto sessions = running.worker.list_sessions({});
        std::ranges::sort(sessions, {}, [](const SessionInfo& info) { return info.id.sequence; });
        running.worker.kill(sessions[0].id.sequence);
        running.worker.kill(sessions[1].id.sequence);
        return 0;
    });
    EXPECT_TRUE(next.shake());
    EXPECT_EQ(running.closed(killed), 2U);
    EXPECT_TRUE(running.wait_until([&] { return shaking(running) == 0; }));
}

TEST(ArrivalTls, T6_places_are_those_of_all_workers) {
    RunningWorker running(with_tls(1), {}, 1, server_context(), 2);
    UniqueFd holder = running.connect();
    ASSERT_TRUE(running.wait_until([&] { return shaking(running) == 1; }));
    for (int i = 0; i < 100; ++i) running.shared.loads.add(0);
    std::vector<std::unique_ptr<TlsPeer>> others;
    Worker& second = *running.others[0];
    for (std::size_t i = 1; i <= 3; ++i) {
        others.push_back(std::make_unique<TlsPeer>(running.connect()));
        ASSERT_TRUE(running.wait_until([&] { return second.sessions() == i; }));
    }
    EXPECT_EQ(shaking(running), 1U);
    holder.reset();
    for (auto& each : others) EXPECT_TRUE(each->shake());
    EXPECT_TRUE(
        running.wait_until([&] { return handshakes(running, metrics::Handshake::full) == 3; }));
    EXPECT_TRUE(running.wait_until([&] { return shaking(running) == 0; }));
}

// --- all phases -------------------------------------------------------------------------------

struct Phase {
    const char* name;
    config::Listener listener;
    std::string said;
    CloseReason late;
};

std::vector<Phase> phases(Duration limit) {
    config::Listener header = behind_a_proxy();
    header.timeouts.proxy_header = limit;
    config::Listener name = named("a.test");
    name.timeouts.client_hello = limit;
    config::Listener starttls;
    starttls.starttls = config::StartTls::postgres;
    starttls.timeouts.client_hello = limit;
    config::Listener tls = with_tls(1);
    tls.timeouts.tls_handshake = limit;
    const std::string some = hello("a.test").substr(0, 40);
    return {{"header, silent", header, "", proxy_header_timeout},
            {"header", header, header_of_ten.substr(0, 20), proxy_header_timeout},
            {"hello, silent", name, "", client_hello_timeout},
            {"hello", name, some, client_hello_timeout},
            {"starttls", starttls, "\0\0\0"s, client_hello_timeout},
            {"handshake, silent", tls, "", tls_timeout},
            {"handshake", tls, some, tls_timeout}};
}

std::shared_ptr<const net::tls::ServerContext> context_for(const config::Listener& listener) {
    return listener.tls ? server_context() : nullptr;
}

// Never early; late by a tenth and 50 ms, for which a machine that stands still gets three chances.
TEST(Arrival, T3_S9_P11_each_phase_has_its_deadline) {
    constexpr auto limit = 200ms;
    for (const auto& [name, listener, said, late] : phases(limit)) {
        SCOPED_TRACE(name);
        bool in_time = false;
        for (int window = 0; window < 3 && !in_time; ++window) {
            RunningWorker running(listener, {}, 1, context_for(listener));
            const TimePoint start = SteadyClock().now();
            const UniqueFd client = running.connect();
            if (!said.empty()) net::say(client, said);
            EXPECT_NE(end_of(client), End::nothing);
            const auto took = SteadyClock().now() - start;
            EXPECT_GE(took, limit);
            expect_end(running, late);
            in_time = took <= limit + limit / 10 + 50ms;
        }
        EXPECT_TRUE(in_time);
    }
}

TEST(Arrival, S9_a_trickle_does_not_move_a_deadline) {
    config::Listener listener = behind_a_proxy();
    listener.timeouts.proxy_header = 300ms;
    RunningWorker running(listener);
    const UniqueFd client = running.connect();
    std::size_t said = 0;
    // A byte for each millisecond or so: the header would take far less than it may in sum.
    while (running.closed(proxy_header_timeout) == 0 && said < header_of_ten.size() - 1) {
        std::ignore = ::send(client.get(), &header_of_ten[said++], 1, MSG_NOSIGNAL);
        pollfd ended{client.get(), POLLIN, 0};
        ::poll(&ended, 1, 20);
    }
    EXPECT_LT(said, header_of_ten.size() - 1) << "not after the last byte";
    EXPECT_NE(end_of(client), End::nothing);
    expect_end(running, proxy_header_timeout);
}

TEST(Arrival, the_time_of_a_place_among_the_handshakes_counts) {
    config::Listener listener = with_tls(1);
    listener.timeouts.tls_handshake = 200ms;
    RunningWorker running(listener, {}, 1, server_context());
    // Both end by time: the one that holds the place, and the one that waits for it.
    const UniqueFd holder = running.connect();
    const UniqueFd waiting = running.connect();
    EXPECT_NE(end_of(holder), End::nothing);
    EXPECT_NE(end_of(waiting), End::nothing);
    expect_end(running, tls_timeout, 2);
    EXPECT_EQ(handshakes(running, metrics::Handshake::timeout), 2U);
    EXPECT_EQ(shaking(running), 0U);
}

TEST(Arrival, an_abort_ends_every_phase) {
    for (const auto& [name, listener, said, late] : phases(10min)) {
        SCOPED_TRACE(name);
        RunningWorker running(listener, {}, 1, context_for(listener));
        const UniqueFd client = running.connect();
        if (!said.empty()) net::say(client, said);
        ASSERT_TRUE(running.wait_for_sessions(1));
        running.on_worker([&] {
            running.worker.abort_all(internal);
            return 0;
        });
        EXPECT_EQ(end_of(client), End::reset);
        expect_end(running, internal);
        EXPECT_EQ(shaking(running), 0U);
    }
}

TEST(Arrival, an_abort_ends_the_wait_for_a_place) {
    RunningWorker running(with_tls(1), {}, 1, server_context());
    const UniqueFd holder = running.connect();
    ASSERT_TRUE(running.wait_until([&] { return shaking(running) == 1; }));
    const UniqueFd waiting = running.connect();
    ASSERT_TRUE(running.wait_for_sessions(2));
    running.on_worker([&] {
        running.worker.abort_all(internal);
        return 0;
    });
    EXPECT_EQ(end_of(waiting), End::reset);
    expect_end(running, internal, 2);
    EXPECT_EQ(shaking(running), 0U);
    TlsPeer next(running.connect());
    EXPECT_TRUE(next.shake()) << "the place is free again";
}

TEST(Arrival, a_reset_of_the_client_ends_every_phase) {
    for (const auto& [name, listener, said, late] : phases(10min)) {
        SCOPED_TRACE(name);
        RunningWorker running(listener, {}, 1, context_for(listener));
        UniqueFd client = running.connect();
        if (!said.empty()) net::say(client, said);
        ASSERT_TRUE(running.wait_for_sessions(1));
        running.on_worker([] { return 0; });
        net::reset_peer(client);
        ASSERT_TRUE(running.wait_for_sessions(0));
        // What it had said before is there still, and not complete.
        const auto incomplete = late == proxy_header_timeout   ? proxy_header_invalid
                                : late == client_hello_timeout ? client_hello_invalid
                                                               : tls_failed;
        EXPECT_EQ(running.closed(client_gone) + running.closed(incomplete), 1U);
        EXPECT_EQ(shaking(running), 0U);
    }
}

}  // namespace
}  // namespace penstock::proxy
