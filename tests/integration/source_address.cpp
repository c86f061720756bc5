// Where connections to backends come from.
#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "tests/integration/scenario.hpp"
#include "tests/support/netns.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {
namespace {

std::string address_in(const std::string& text) { return text.substr(0, text.rfind(':')); }

/// Echoes, and remembers from where each connection came.
struct Witness {
    [[nodiscard]] std::multiset<std::string> seen() {
        const std::scoped_lock lock(mutex);
        return peers;
    }
    std::mutex mutex;
    std::multiset<std::string> peers;
    ChaosBackend backend{[this](Socket& socket, const ChaosBackend& self) {
        {
            const std::scoped_lock lock(mutex);
            peers.insert(address_in(Address::peer_of(socket.fd()).text()));
        }
        scripts::echo()(socket, self);
    }};
};

TEST(SourceAddress, is_what_the_backend_and_the_log_see) {
    Witness witness;
    ProxyProcess proxy(one_service({witness.backend.text()}, "", "source_address = \"127.0.5.1\""));
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(witness.seen().size(), 5U);
    EXPECT_EQ(witness.seen().count("127.0.5.1"), 5U);
    for (const LogLine& line : expect_lines(proxy, 5))
        EXPECT_EQ(address_in(line.backend_local), "127.0.5.1") << line.raw;
}

TEST(SourceAddress, warm_connections_come_from_it_too) {
    Witness witness;
    ProxyProcess proxy(one_service({witness.backend.text()}, "",
                                   "source_address = \"127.0.5.2\"\npool = { min_idle = 2 }"));
    ASSERT_TRUE(wait_for([&] { return witness.seen().size() >= 2; }, 20s));
    EXPECT_EQ(witness.seen().count("127.0.5.2"), witness.seen().size());
}

TEST(SourceAddress, only_those_of_the_backends_family_count_and_unix_needs_none) {
    const TempDir directory;
    Witness v4;
    EchoServer v6("[::1]:0");
    EchoServer local("unix:" + (directory.path() / "echo.sock").string());
    ProxyProcess proxy(one_service({v4.backend.text(), v6.text(), local.text()}, "",
                                   "source_address = [\"127.0.5.3\", \"::1\"]"));
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(echo_once(proxy.address()));
    EXPECT_EQ(v4.seen().size(), 2U);
    EXPECT_EQ(v6.accepted(), 2U);
    EXPECT_EQ(local.accepted(), 2U);
    for (const LogLine& line : expect_lines(proxy, 6)) {
        const std::string from = address_in(line.backend_local);
        EXPECT_EQ(from, line.backend == "b0"   ? "127.0.5.3"
                        : line.backend == "b1" ? "[::1]"
                                               : address_in("unix:"))
            << line.raw;
    }
}

/// Two ports for each address and destination.
struct FewPorts {
    FewPorts() { ScopedNetns::set("net/ipv4/ip_local_port_range", "45000 45001"); }
};

TEST(SourceAddress, the_next_one_serves_when_ports_run_out_and_then_it_is_no_port) {
    const ScopedNetns netns;
    Witness witness;
    Witness other;
    ConfigText config = one_service({witness.backend.text()}, "",
                                    "source_address = [\"127.0.6.1\", \"127.0.6.2\"]\n"
                                    "attempts = 1");
    config.services.push_back({.name = "other",
                               .backends = {other.backend.text()},
                               .upstream = "source_address = \"127.0.6.1\""});
    ProxyProcess proxy(config);
    const FewPorts few;
    // Each client has an address of its own, and so ports enough.
    int clients = 0;
    const auto connect = [&](const std::string& listener) {
        const std::string source = "127.0.8." + std::to_string(++clients) + ":0";
        return established(proxy.address(listener), {.source = source});
    };
    std::vector<Socket> open;
    for (int i = 0; i < 4; ++i) {
        auto client = connect("in");
        ASSERT_TRUE(client) << i;
        open.push_back(std::move(*client));
    }
    EXPECT_EQ(witness.seen(),
              (std::multiset<std::string>{"127.0.6.1", "127.0.6.1", "127.0.6.2", "127.0.6.2"}));
    EXPECT_FALSE(connect("in"));
    const auto lines = expect_lines(proxy, 1);
    EXPECT_EQ(lines.at(0).reason, "connect_failed") << lines.at(0).raw;
    ASSERT_EQ(lines.at(0).attempts.size(), 1U);
    EXPECT_EQ(lines.at(0).attempts[0].error, "no_port");
    // Towards another backend the same ports serve again.
    EXPECT_TRUE(connect("other"));
    // One that is free again (a reset leaves no TIME_WAIT) is found again.
    open.front().reset();
    ASSERT_TRUE(wait_for([&] { return proxy.access_log().lines().size() >= 3; }));
    EXPECT_TRUE(connect("in"));
    proxy.stop();
    EXPECT_TRUE(proxy.says("upstream in: 4 times no local port")) << proxy.errors();
}

TEST(SourceAddress, ports_run_out_without_any_too_and_another_backend_serves) {
    const ScopedNetns netns;
    Witness first;
    Witness second;
    ProxyProcess proxy(one_service({first.backend.text(), second.backend.text()}, "", "", ""));
    const FewPorts few;
    std::vector<Socket> open;
    for (int i = 1; i <= 4; ++i) {
        auto client =
            established(proxy.address(), {.source = "127.0.8." + std::to_string(i) + ":0"});
        ASSERT_TRUE(client) << i;
        open.push_back(std::move(*client));
    }
    EXPECT_EQ(first.seen().size() + second.seen().size(), 4U);
    EXPECT_FALSE(established(proxy.address(), {.source = "127.0.8.9:0"}));
    const auto lines = expect_lines(proxy, 1);
    ASSERT_EQ(lines.at(0).attempts.size(), 3U) << lines.at(0).raw;
    for (const LogAttempt& attempt : lines.at(0).attempts) EXPECT_EQ(attempt.error, "no_port");
}

}  // namespace
}  // namespace penstock::test
