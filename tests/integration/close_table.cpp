// The contract's table, reason by reason: what each side sees, and what the line says.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <ostream>

#include "tests/integration/scenario.hpp"
#include "tests/support/netns.hpp"
#include "tests/support/strace.hpp"

namespace penstock::test {
namespace {

/// How the backend side saw the end; filled by the backend's script.
class Watched {
public:
    /// Answers one ping, then notes how the connection ends.
    ChaosBackend::Script script() {
        return [this](Socket& socket, const ChaosBackend& me) {
            if (socket.receive_text(4) == "ping") socket.send("pong");
            seen = me.wait_end(socket);
            if (seen == End::fin) socket.finish();
            done = true;
        };
    }
    [[nodiscard]] End wait() const {
        wait_for([this] { return done.load(); }, 20s);
        return seen;
    }
    std::atomic<End> seen = End::open;
    std::atomic<bool> done = false;
};

/// A reset that arrives after a FIN shows as an error condition, not as data to read.
bool wait_reset(const Socket& socket) {
    wait_ready(socket.fd(), 0, Clock::now() + 50ms);
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
    return error == ECONNRESET || error == EPIPE;
}

bool ping_pong(Socket& socket) { return socket.send("ping") && socket.receive_text(4) == "pong"; }

struct Expected {
    const char* reason;
    const char* close_class;
    const char* closed_by;  // nullptr: any
    std::size_t attempts;   // at least
};

/// The one close line of a proxy that served one connection.
LogLine the_line(const ProxyProcess& proxy, const Expected& expected) {
    const auto lines = expect_lines(proxy, 1, 10s);
    if (lines.empty()) return {};
    const LogLine& line = lines[0];
    EXPECT_EQ(line.reason, expected.reason) << line.raw;
    EXPECT_EQ(line.close_class, expected.close_class) << line.raw;
    if (expected.closed_by) {
        EXPECT_EQ(line.closed_by, expected.closed_by) << line.raw;
    }
    EXPECT_GE(line.attempts.size(), expected.attempts) << line.raw;
    return line;
}

class AccessLogCloses : public testing::Test {
protected:
    Watched watched;
    ChaosBackend backend{watched.script()};
};

TEST_F(AccessLogCloses, completed) {
    ProxyProcess proxy(one_service({backend.text()}));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(ping_pong(*client));
    client->finish();
    EXPECT_EQ(client->wait_end(), End::fin);
    EXPECT_EQ(watched.wait(), End::fin);
    const LogLine line = the_line(proxy, {"completed", "ok", nullptr, 1});
    EXPECT_EQ(line.bytes_to_backend, 4U);
    EXPECT_EQ(line.bytes_to_client, 4U);
    EXPECT_EQ(line.backend, "b0");
    EXPECT_EQ(line.backend_address, backend.text());
    EXPECT_EQ(line.upstream, "in");
    EXPECT_EQ(line.listener, "in");
    EXPECT_EQ(line.local, proxy.address().text());
    EXPECT_FALSE(line.backend_local.empty());
    EXPECT_TRUE(line.connect_ms);
    EXPECT_TRUE(line.first_byte_ms);
    EXPECT_EQ(line.detail, "");
}

TEST_F(AccessLogCloses, client_reset) {
    ProxyProcess proxy(one_service({backend.text()}));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(ping_pong(*client));
    client->reset();
    EXPECT_EQ(watched.wait(), End::reset);
    const LogLine line = the_line(proxy, {"client_reset", "client", "client", 1});
    EXPECT_EQ(line.detail, "ECONNRESET");
}

TEST(AccessLogClosesOther, backend_reset) {
    ChaosBackend backend([](Socket& socket, const ChaosBackend&) {
        socket.send("pong");
        socket.receive_text(4);
        socket.reset();
    });
    ProxyProcess proxy(one_service({backend.text()}));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    EXPECT_TRUE(ping_pong(*client));
    EXPECT_EQ(client->wait_end(), End::reset);
    const LogLine line = the_line(proxy, {"backend_reset", "backend", "backend", 1});
    EXPECT_EQ(line.detail, "ECONNRESET");
}

TEST(AccessLogClosesOther, client_gone) {
    ScopedNetns netns;
    EchoServer hole;
    netns.add_rule("tcp dport " + hole.text().substr(hole.text().rfind(':') + 1));
    ProxyProcess proxy(one_service({hole.text()}));
    const std::size_t before = proxy.descriptors();
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(wait_for([&] { return proxy.descriptors() == before + 2; }));
    client->close();
    the_line(proxy, {"client_gone", "client", "client", 0});
    EXPECT_EQ(hole.accepted(), 0U);
}

/// A peer that vanishes without a word: its segments are dropped in both directions.
class AccessLogLost : public testing::Test {
protected:
    void silence(const Address& peer) {
        netns.add_rule("tcp dport " + std::to_string(peer.port()));
        netns.add_rule("tcp sport " + std::to_string(peer.port()));
    }
    ScopedNetns netns;
    Watched watched;
    ChaosBackend backend{watched.script()};
    ChaosBackend talker{[](Socket& socket, const ChaosBackend& me) {
        while (!me.stopping() && socket.send("tick", 1s)) std::this_thread::sleep_for(20ms);
        seen = me.wait_end(socket);
    }};
    static inline std::atomic<End> seen = End::open;
};

TEST_F(AccessLogLost, client_lost) {
    ProxyProcess proxy(one_service({talker.text()}, "", "", "peer_timeout = \"1s\""));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_EQ(client->receive_text(4), "tick");
    const auto start = Clock::now();
    silence(client->local());
    the_line(proxy, {"client_lost", "client", nullptr, 1});
    // Two samples a full peer_timeout apart: between one and three of them.
    EXPECT_GE(since(start), 1s);
    EXPECT_LT(since(start), scaled(3500ms));
    EXPECT_TRUE(wait_for([&] { return seen == End::reset; }));
}

TEST_F(AccessLogLost, backend_lost) {
    ProxyProcess proxy(one_service({backend.text()}, "", "", "peer_timeout = \"1s\""));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(ping_pong(*client));
    silence(backend.address());
    ASSERT_TRUE(client->send("anybody there?"));
    const auto start = Clock::now();
    EXPECT_EQ(client->wait_end(10s), End::reset);
    EXPECT_GE(since(start), 900ms);
    EXPECT_LT(since(start), scaled(3500ms));
    the_line(proxy, {"backend_lost", "backend", nullptr, 1});
}

TEST_F(AccessLogLost, a_peer_that_lives_and_does_not_read_is_not_lost) {
    ChaosBackend flood([](Socket& socket, const ChaosBackend& me) {
        const std::string block(65536, 'x');
        while (!me.stopping() && socket.send(block, 100ms)) {
        }
        me.hold();
    });
    ProxyProcess proxy(
        one_service({flood.text()}, "idle = \"4s\"", "", "peer_timeout = \"500ms\""));
    auto client = Socket::connect(proxy.address(), {.receive_buffer = 4096});
    ASSERT_TRUE(client);
    the_line(proxy, {"idle_timeout", "policy", "proxy", 1});
}

struct RefusalCase {
    const char* name;
    const char* with;  // of no_backend or refuse_with
    End seen;
    friend std::ostream& operator<<(std::ostream& out, const RefusalCase& row) {
        return out << row.name;
    }
};
class AccessLogRefusals : public testing::TestWithParam<RefusalCase> {
protected:
    std::string no_backend() const {
        return std::string("no_backend = \"") + GetParam().with + "\"";
    }
    std::string refuse_with() const {
        return std::string("refuse_with = \"") + GetParam().with + "\"";
    }
    void expect_end(const ProxyProcess& proxy) {
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        EXPECT_EQ(client->wait_end(), GetParam().seen);
    }
    EchoServer echo;
};

TEST_P(AccessLogRefusals, connect_failed) {
    ClosedPort dead;
    ProxyProcess proxy(one_service({dead.address.text()}, "", no_backend() + "\nattempts = 2"));
    expect_end(proxy);
    const LogLine line = the_line(proxy, {"connect_failed", "backend", nullptr, 2});
    EXPECT_EQ(line.detail, "ECONNREFUSED");
    ASSERT_EQ(line.attempts.size(), 2U);
    EXPECT_EQ(line.attempts[1].error, "refused");
    EXPECT_EQ(line.attempts[1].address, dead.address.text());
}

TEST_P(AccessLogRefusals, no_backend) {
    ProxyProcess proxy(
        one_service({"address = \"" + echo.text() + "\"\nweight = 0"}, "", no_backend()));
    expect_end(proxy);
    const LogLine line = the_line(proxy, {"no_backend", "backend", "proxy", 0});
    EXPECT_TRUE(line.attempts.empty()) << line.raw;
    EXPECT_EQ(echo.accepted(), 0U);
}

TEST_P(AccessLogRefusals, no_route) {
    ConfigText config;
    config.services.push_back({.listener = refuse_with(), .routed = false});
    ProxyProcess proxy(config);
    expect_end(proxy);
    const LogLine line = the_line(proxy, {"no_route", "policy", "proxy", 0});
    EXPECT_EQ(line.upstream, "");
}

TEST_P(AccessLogRefusals, limit_listener) {
    ProxyProcess proxy(one_service({echo.text()}, "", "", refuse_with() + "\nmax_connections = 1"));
    auto first = established(proxy.address());
    ASSERT_TRUE(first);
    expect_end(proxy);
    the_line(proxy, {"limit_listener", "policy", "proxy", 0});
    EXPECT_TRUE(ping(*first));
}

TEST_P(AccessLogRefusals, limit_process) {
    ConfigText config = one_service({echo.text()}, "", "", refuse_with());
    config.process = "workers = 1\nmax_connections = 1";
    ProxyProcess proxy(config);
    auto first = established(proxy.address());
    ASSERT_TRUE(first);
    expect_end(proxy);
    the_line(proxy, {"limit_process", "proxy", "proxy", 0});
    EXPECT_TRUE(ping(*first));
}

INSTANTIATE_TEST_SUITE_P(Refusals, AccessLogRefusals,
                         testing::Values(RefusalCase{"with_reset", "reset", End::reset},
                                         RefusalCase{"with_close", "close", End::fin}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(AccessLogClosesOther, limit_with_wait_queues_in_the_kernel) {
    EchoServer echo;
    ProxyProcess proxy(
        one_service({echo.text()}, "", "", "max_connections = 1\non_limit = \"wait\""));
    auto first = established(proxy.address());
    auto second = Socket::connect(proxy.address());
    ASSERT_TRUE(first && second);
    ASSERT_TRUE(second->send("ping"));
    EXPECT_EQ(second->receive_text(4, 100ms), "");  // not served yet
    EXPECT_TRUE(ping(*first));
    first->close();
    EXPECT_EQ(second->receive_text(4, 1s), "ping");
    second->close();
    for (const LogLine& line : expect_lines(proxy, 2)) EXPECT_EQ(line.reason, "completed");
}

struct DeadlineCase {
    const char* name;
    const char* timeouts;
    const char* reason;
    bool half_close;
    friend std::ostream& operator<<(std::ostream& out, const DeadlineCase& row) {
        return out << row.name;
    }
};
class AccessLogDeadlines : public testing::TestWithParam<DeadlineCase> {};

TEST_P(AccessLogDeadlines, both_sides_see_a_reset_in_time) {
    const DeadlineCase& row = GetParam();
    std::atomic<End> seen = End::open;
    ChaosBackend backend([&](Socket& socket, const ChaosBackend& me) {
        socket.receive_text(4);
        socket.send("pong");
        // Through its own FIN, a reset is seen as an error on the next write or read.
        End end = me.wait_end(socket);
        while (row.half_close && end == End::fin && !me.stopping()) {
            if (wait_reset(socket)) end = End::reset;
        }
        seen = end;
    });
    ProxyProcess proxy(one_service({backend.text()}, row.timeouts));
    const auto begin = Clock::now();
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(ping_pong(*client));
    const bool whole_life = std::string_view(row.reason) == "lifetime";
    const auto start = whole_life ? begin : Clock::now();
    if (row.half_close) client->finish();
    EXPECT_EQ(client->wait_end(), End::reset);
    EXPECT_TRUE(window_of(500ms, 20ms).contains(since(start) + 2ms)) << since(start).count();
    EXPECT_TRUE(wait_for([&] { return seen == End::reset; })) << name_of(seen);
    the_line(proxy, {row.reason, "policy", "proxy", 1});
}

INSTANTIATE_TEST_SUITE_P(
    Deadlines, AccessLogDeadlines,
    testing::Values(
        DeadlineCase{"idle", "idle = \"500ms\"", "idle_timeout", false},
        DeadlineCase{"half_closed", "half_closed = \"500ms\"", "half_closed_timeout", true},
        DeadlineCase{"lifetime", "lifetime = \"500ms\"\nlifetime_jitter = 0", "lifetime", false}),
    [](const auto& row) { return std::string(row.param.name); });

class AccessLogDrain : public testing::TestWithParam<bool> {};

TEST_P(AccessLogDrain, drained) {
    const bool quiet = GetParam();
    std::atomic<End> seen = End::open;
    std::atomic<bool> done = false;
    ChaosBackend backend([&](Socket& socket, const ChaosBackend& me) {
        while (!quiet && !me.stopping() && socket.send("tick", 1s))
            std::this_thread::sleep_for(20ms);
        if (quiet) socket.send("tick");
        seen = me.wait_end(socket);
        done = true;
    });
    ConfigText config = one_service({backend.text()});
    config.drain = R"({ wait = "1500ms", close_over = "200ms" })";
    ProxyProcess proxy(config);
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_EQ(client->receive_text(4), "tick");
    proxy.signal(SIGTERM);
    const auto start = Clock::now();
    EXPECT_EQ(client->wait_end(), quiet ? End::fin : End::reset);
    EXPECT_GE(since(start), 1400ms);
    EXPECT_TRUE(wait_for([&] { return done.load(); }));
    EXPECT_EQ(seen, quiet ? End::fin : End::reset);
    const auto status = proxy.wait_exit();
    ASSERT_TRUE(status);
    EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 0);
    the_line(proxy, {"drained", "operator", "proxy", 1});
}

INSTANTIATE_TEST_SUITE_P(Drain, AccessLogDrain, testing::Bool(),
                         [](const auto& row) { return row.param ? "quiet" : "busy"; });

TEST(AccessLogClosesOther, internal) {
    EchoServer echo;
    ProxyProcess proxy(one_service({echo.text()}));
    EXPECT_TRUE(echo_once(proxy.address()));
    {
        // Registering a socket cannot fail in health; here it does.
        Strace trace(proxy.pid(), {"trace=epoll_ctl", "inject=epoll_ctl:error=ENOMEM"});
        auto client = Socket::connect(proxy.address());
        ASSERT_TRUE(client);
        EXPECT_EQ(client->wait_end(), End::reset);
    }
    EXPECT_TRUE(echo_once(proxy.address()));
    const auto lines = expect_lines(proxy, 3);
    const auto line = std::ranges::find(lines, "internal", &LogLine::reason);
    ASSERT_NE(line, lines.end());
    EXPECT_EQ(line->close_class, "proxy") << line->raw;
    EXPECT_EQ(line->closed_by, "proxy") << line->raw;
    EXPECT_EQ(line->detail, "ENOMEM") << line->raw;
}

TEST(AccessLogForm, open_lines_skip_empty_and_ids) {
    EchoServer echo;
    ConfigText config = one_service({echo.text()});
    config.access_log += "\nevents = [\"open\", \"close\"]";
    ProxyProcess proxy(config);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(echo_once(proxy.address()));
    const auto lines = expect_lines(proxy, 10);
    for (const LogLine& line : lines) {
        const auto same = std::ranges::count(lines, line.id, &LogLine::id);
        EXPECT_EQ(same, 2) << line.raw;  // one open, one close
    }

    config = one_service({echo.text()});
    config.access_log += "\nskip_empty = true";
    ProxyProcess skipping(config);
    auto silent = Socket::connect(skipping.address());
    ASSERT_TRUE(silent);
    ASSERT_TRUE(wait_for([&] { return echo.open() == 1; }));
    silent->close();
    ASSERT_TRUE(wait_for([&] { return echo.open() == 0; }));
    EXPECT_TRUE(echo_once(skipping.address()));
    skipping.stop();
    EXPECT_EQ(skipping.access_log().lines().size(), 1U);
}

}  // namespace
}  // namespace penstock::test
