// Clients whose TLS ends here, and what holds for all phases before a client is sent anywhere.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include "tests/unit/proxy/arriving.hpp"
#include "tests/unit/proxy/tls_peer.hpp"

namespace penstock::proxy {
namespace {

using namespace std::chrono_literals;
using enum CloseReason;
using net::UniqueFd;

// --- the handshake ----------------------------------------------------------------------------

std::uint64_t shaking(RunningWorker& running) { return running.web->account->handshakes.used(); }

/// Has begun with its hello, and goes on never.
UniqueFd half_a_hello(RunningWorker& running) {
    UniqueFd client = running.connect();
    net::say(client, hello("a.test").substr(0, 40));
    return client;
}
/// What was sent has been seen.
void let_it_look(RunningWorker& running, Worker& which) {
    for (int i = 0; i < 3; ++i) running.on(which, [] { return 0; });
}

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

TEST(ArrivalTls, the_silent_take_no_place) {
    RunningWorker running(with_tls(1), {}, 1, server_context());
    std::vector<UniqueFd> silent;
    for (std::size_t i = 1; i <= 3; ++i) {
        silent.push_back(running.connect());
        ASSERT_TRUE(running.wait_for_sessions(i));
    }
    EXPECT_EQ(shaking(running), 0U);
    TlsPeer client(running.connect());
    EXPECT_TRUE(client.shake());
    EXPECT_EQ(running.on_worker([&] { return running.worker.sessions(); }), 4U);
}

/// A handshake of OpenSSL's own client, which asks for names as they are written.
bool shakes_for(const UniqueFd& fd, const std::string& name) {
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                              &SSL_CTX_free);
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
    SSL_set_fd(ssl.get(), fd.get());
    SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(name.c_str()));
    return SSL_connect(ssl.get()) == 1;
}

// Nothing here looks at the hello before it is answered: the name is the one of the handshake.
TEST(ArrivalTls, names_are_written_in_one_way_however_they_are_asked_for) {
    RunningWorker running(with_tls(), {}, 5, server_context());
    running.settings.balance = config::Balance::maglev;
    running.settings.hash_key = config::HashKey::sni;
    WorkerUpdate update = running.as_it_is();
    update.upstreams[0].changed = std::make_shared<const config::Upstream>(running.settings);
    std::vector<balancer::BackendEntry> entries;
    for (const auto& backend : running.all) entries.push_back({backend});
    update.upstreams[0].snapshot =
        std::make_shared<const balancer::Snapshot>(std::make_shared<const balancer::BackendSet>(
            std::move(entries), balancer::SetOptions{.hash_tables = balancer::HashTables::maglev}));
    running.apply(std::move(update));
    // Four names, so that it is no chance when they come to the same backend.
    for (const std::string number : {"1", "2", "3", "4"}) {
        std::vector<UniqueFd> clients;
        for (const std::string& name :
             {"WWW" + number + ".Example.COM.", "www" + number + ".example.com"}) {
            clients.push_back(running.connect());
            ASSERT_TRUE(shakes_for(clients.back(), name));
        }
        ASSERT_TRUE(running.wait_until([&] {
            return std::ranges::count(running.worker.list_sessions({}), Activity::relaying,
                                      &SessionInfo::activity) == 2;
        }));
        const auto sessions = sessions_of(running);
        ASSERT_EQ(sessions.size(), 2U);
        for (const SessionInfo& session : sessions)
            EXPECT_EQ(session.server_name, "www" + number + ".example.com");
        EXPECT_EQ(sessions[0].backend, sessions[1].backend);
        clients.clear();
        running.on_worker([&] {
            running.worker.abort_all(killed);
            return 0;
        });
        ASSERT_TRUE(running.wait_for_sessions(0));
        const auto lines =
            running.on_worker([&] { return running.worker.closed_sessions().list({}); });
        for (std::size_t i = 0; i < 2; ++i)
            EXPECT_TRUE(says(lines[i].json, R"("sni":"www)" + number + R"(.example.com")"))
                << lines[i].json;
    }
}

// T6: one is under way, the others wait. Later events of their sockets cost no place.
TEST(ArrivalTls, T6_the_waiting_go_on_in_the_order_they_came) {
    RunningWorker running(with_tls(1), {}, 1, server_context());
    UniqueFd holder = half_a_hello(running);
    ASSERT_TRUE(running.wait_until([&] { return shaking(running) == 1; }));
    TlsPeer first(running.connect());
    TlsPeer second(running.connect());
    ASSERT_TRUE(running.wait_for_sessions(3));
    for (TlsPeer* each : {&first, &second}) {
        ASSERT_TRUE(each->say_hello());
        let_it_look(running, running.worker);
    }
    first.nudge();
    let_it_look(running, running.worker);
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
    UniqueFd holder = half_a_hello(running);
    ASSERT_TRUE(running.wait_until([&] { return shaking(running) == 1; }));
    UniqueFd leaves = half_a_hello(running);
    let_it_look(running, running.worker);
    ASSERT_TRUE(running.wait_for_sessions(2));
    let_it_look(running, running.worker);
    TlsPeer next(running.connect());
    ASSERT_TRUE(next.say_hello());
    ASSERT_TRUE(running.wait_for_sessions(3));
    let_it_look(running, running.worker);
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
    UniqueFd holder = half_a_hello(running);
    ASSERT_TRUE(running.wait_until([&] { return shaking(running) == 1; }));
    for (int i = 0; i < 100; ++i) running.shared.loads.add(0);
    std::vector<std::unique_ptr<TlsPeer>> others;
    Worker& second = *running.others[0];
    for (std::size_t i = 1; i <= 3; ++i) {
        others.push_back(std::make_unique<TlsPeer>(running.connect()));
        ASSERT_TRUE(others.back()->say_hello());
        ASSERT_TRUE(running.wait_until([&] { return second.sessions() == i; }));
        let_it_look(running, second);
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
        if (::poll(&ended, 1, 20) > 0) break;
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
    const UniqueFd holder = half_a_hello(running);
    const UniqueFd waiting = half_a_hello(running);
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
    const UniqueFd holder = half_a_hello(running);
    ASSERT_TRUE(running.wait_until([&] { return shaking(running) == 1; }));
    const UniqueFd waiting = half_a_hello(running);
    ASSERT_TRUE(running.wait_for_sessions(2));
    let_it_look(running, running.worker);
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
