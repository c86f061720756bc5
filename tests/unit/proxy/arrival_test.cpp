// What comes before a client is sent anywhere, through a worker that serves.
#include "proxy/front/arrival.hpp"

#include "net/postgres_start.hpp"
#include "tests/unit/proxy/arriving.hpp"

namespace penstock::proxy {
namespace {

using namespace std::chrono_literals;
using enum CloseReason;
using net::UniqueFd;

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

/// The text and the end of the stream in one segment, and thus in one event.
void say_last(const UniqueFd& fd, const std::string& text) {
    net::say(fd, text, MSG_MORE);
    ::shutdown(fd.get(), SHUT_WR);
}

TEST(ArrivalHeader, a_part_of_one_with_the_end_behind_it_is_invalid_at_once) {
    config::Listener listener = behind_a_proxy();
    listener.timeouts.proxy_header = 10min;
    RunningWorker running(listener);
    const UniqueFd client = running.connect();
    ASSERT_TRUE(running.wait_for_sessions(1));
    running.on_worker([] { return 0; });  // it was looked at, and had said nothing
    say_last(client, header_of_ten.substr(0, 20));
    expect_end(running, proxy_header_invalid);
}

TEST(ArrivalHeader, who_has_ended_behind_it_is_not_queued) {
    config::Upstream upstream;
    upstream.max_connections = 1;
    upstream.queue.timeout = 10min;
    RunningWorker running(behind_a_proxy(), upstream);
    const UniqueFd first = running.connect();
    net::say(first, header_of_ten);
    const UniqueFd backend = running.accept_backend();
    ASSERT_TRUE(arrives(first, backend));
    const UniqueFd second = running.connect();
    ASSERT_TRUE(running.wait_for_sessions(2));
    say_last(second, header_of_ten);
    EXPECT_TRUE(running.wait_for_sessions(1));
    EXPECT_EQ(running.closed(client_gone), 1U);
    EXPECT_TRUE(arrives(first, backend));
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

TEST(ArrivalHello, a_part_of_one_with_the_end_behind_it_is_invalid_at_once) {
    config::Listener starttls;
    starttls.starttls = config::StartTls::postgres;
    struct Case {
        config::Listener listener;
        std::string text;
    };
    for (auto& [listener, text] :
         {Case{named("a.test"), hello("a.test").substr(0, 40)}, Case{starttls, "\0\0\0\x08"s},
          Case{starttls, hello("a.test").substr(0, 40)}}) {
        config::Listener patient = listener;
        patient.timeouts.client_hello = 10min;
        RunningWorker running(patient);
        const UniqueFd client = running.connect();
        ASSERT_TRUE(running.wait_for_sessions(1));
        running.on_worker([] { return 0; });
        say_last(client, text);
        expect_end(running, client_hello_invalid);
    }
}

TEST(ArrivalHello, routes_are_not_for_a_plain_start_of_postgres) {
    const std::string startup = counted_whole("\0\3\0\0user\0me\0\0"s);
    const std::string cancel = counted_whole(
        "\x04\xd2\x16\x2e"
        "12345678"s);
    const std::string direct = hello("a.test");
    for (const std::string& text : {startup, cancel, direct}) {
        config::Listener listener;
        listener.starttls = config::StartTls::postgres;
        listener.routes = {{.upstream = "up"}};
        RunningWorker running(listener);
        UniqueFd client = running.connect();
        net::say(client, text);
        UniqueFd backend = running.accept_backend();
        EXPECT_EQ(read_exactly(backend, text.size()), text);
        client.reset();
        backend.reset();
        const std::string line = line_of(running);
        EXPECT_EQ(says(line, R"("route":"1")"), text == direct) << line;
    }
}

TEST(ArrivalHello, what_is_no_tls_passes_by_a_route_for_tls) {
    config::Listener listener;
    listener.routes = {{.upstream = "up", .tls = config::RouteTls::passthrough}};
    for (const std::string& text : {"GET / HTTP/1.1\r\n"s, hello("a.test")}) {
        RunningWorker running(listener);
        UniqueFd client = running.connect();
        net::say(client, text);
        UniqueFd backend = running.accept_backend();
        EXPECT_EQ(read_exactly(backend, text.size()), text);
        client.reset();
        backend.reset();
        const std::string line = line_of(running);
        EXPECT_EQ(says(line, R"("route":"1")"), text[0] != 'G') << line;
    }
}

// A backend that offers no TLS, then one that does: the line tells of the session, which has
// succeeded. That of the attempt stands in `attempts`.
TEST(ArrivalHello, the_problem_of_an_attempt_that_failed_is_not_the_sessions) {
    for (const bool all_fail : {false, true}) {
        config::Listener listener;
        listener.starttls = config::StartTls::postgres;
        config::Upstream upstream;
        upstream.attempts = 2;
        RunningWorker running(listener, upstream, 2);
        UniqueFd client = running.connect();
        net::say(client, std::string(net::postgres_ssl_request));
        ASSERT_EQ(read_exactly(client, 1), "S");
        net::say(client, hello("a.test"));
        pollfd called[] = {{running.backend_listeners[0].get(), POLLIN, 0},
                           {running.backend_listeners[1].get(), POLLIN, 0}};
        ASSERT_GT(::poll(called, 2, 20'000), 0);
        const std::size_t first = called[0].revents != 0 ? 0 : 1;
        const UniqueFd refuses = running.accept_backend(first);
        ASSERT_EQ(read_exactly(refuses, 8), net::postgres_ssl_request);
        net::say(refuses, "N");
        UniqueFd serves = running.accept_backend(1 - first);
        ASSERT_EQ(read_exactly(serves, 8), net::postgres_ssl_request);
        net::say(serves, all_fail ? "N" : "S");
        if (!all_fail) {
            EXPECT_EQ(read_exactly(serves, hello("a.test").size()), hello("a.test"));
        }
        client.reset();
        serves.reset();
        const std::string line = line_of(running);
        EXPECT_TRUE(says(line, R"("error":"tls")")) << line;
        EXPECT_EQ(says(line, "does not offer TLS"), all_fail) << line;
    }
}

}  // namespace
}  // namespace penstock::proxy
