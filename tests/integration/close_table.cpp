// The contract's table of reasons: ends by a peer, failures and refusals. What each side sees, and
// what the line says. (close_deadlines.cpp has what ends because time has passed.)
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>

#include "tests/integration/close_case.hpp"
#include "tests/support/netns.hpp"
#include "tests/support/strace.hpp"

namespace penstock::test {
namespace {

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
    ProxyProcess proxy(one_service({hole.text()}, "", "connect_timeout = \"5m\""));
    const std::size_t before = proxy.descriptors();
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(wait_for([&] { return proxy.descriptors() == before + 2; }));
    client->close();
    the_line(proxy, {"client_gone", "client", "client", 0});
    EXPECT_EQ(hole.accepted(), 0U);
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
    EXPECT_EQ(second->receive_text(4), "ping");
    second->close();
    for (const LogLine& line : expect_lines(proxy, 2)) EXPECT_EQ(line.reason, "completed");
}

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

}  // namespace
}  // namespace penstock::test
