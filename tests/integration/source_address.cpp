// Where connections to backends come from.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <sstream>

#include "tests/integration/admin_scenario.hpp"
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

using Ports = std::map<std::string, int>;

/// Established connections of this network namespace that come from 127.0.6.*, by address.
Ports ports_of_the_kernel() {
    Ports ports;
    std::ifstream table("/proc/thread-self/net/tcp");
    std::string line;
    std::getline(table, line);
    while (std::getline(table, line)) {
        std::istringstream fields(line);
        std::string number;
        std::string local;
        std::string remote;
        std::string state;
        fields >> number >> local >> remote >> state;
        // The address as a number of this machine, which counts its bytes from the last.
        if (state == "01" && local.substr(2, 6) == "06007F")
            ++ports["127.0.6." + std::to_string(std::stoi(local.substr(0, 2), nullptr, 16))];
    }
    return ports;
}

/// What the metrics say of an upstream: addresses without connections, too.
Ports ports_in_the_metrics(const ProxyProcess& proxy, const std::string& upstream) {
    const std::string start =
        "penstock_source_ports_in_use{upstream=\"" + upstream + "\",address=\"";
    Ports ports;
    const MetricsPage page = metrics_of(proxy);
    for (const auto& [sample, value] : page.samples())
        if (sample.starts_with(start))
            ports[sample.substr(start.size(), sample.size() - start.size() - 2)] =
                static_cast<int>(value);
    return ports;
}

TEST(SourceAddress, ports_in_use_are_those_that_the_kernel_has_open) {
    const ScopedNetns netns;
    Witness witness;
    ConfigText config = one_service({witness.backend.text()}, "",
                                    "source_address = [\"127.0.6.1\", \"127.0.6.2\"]");
    ProxyProcess proxy(config);
    ScopedNetns::set("net/ipv4/ip_local_port_range", "45000 45003");
    EXPECT_EQ(ports_in_the_metrics(proxy, "in"), (Ports{{"127.0.6.1", 0}, {"127.0.6.2", 0}}));
    int clients = 0;
    std::vector<Socket> open;
    const auto connect = [&](int count) {
        for (int i = 0; i < count; ++i) {
            const std::string source = "127.0.8." + std::to_string(++clients) + ":0";
            auto client = established(proxy.address(), {.source = source});
            ASSERT_TRUE(client) << clients;
            open.push_back(std::move(*client));
        }
    };
    const auto comes_to = [&](const Ports& ports) {
        return wait_for([&] { return ports_in_the_metrics(proxy, "in") == ports; });
    };
    connect(6);
    EXPECT_EQ(ports_in_the_metrics(proxy, "in"), (Ports{{"127.0.6.1", 4}, {"127.0.6.2", 2}}));
    EXPECT_EQ(ports_in_the_metrics(proxy, "in"), ports_of_the_kernel());
    open[0].reset();
    open[5].finish();
    EXPECT_EQ(open[5].wait_end(), End::fin);
    EXPECT_TRUE(comes_to({{"127.0.6.1", 3}, {"127.0.6.2", 1}}));
    EXPECT_EQ(ports_in_the_metrics(proxy, "in"), ports_of_the_kernel());
    // Connections outlive the configuration that they were made by, and so does their count.
    config.services[0].upstream =
        "source_address = \"127.0.6.3\"\npool = { min_idle = 2, max_idle = 2 }";
    ASSERT_TRUE(proxy.change_to(config)) << proxy.errors();
    EXPECT_TRUE(comes_to({{"127.0.6.1", 3}, {"127.0.6.2", 1}, {"127.0.6.3", 2}})) << "the pool's";
    open.clear();
    EXPECT_TRUE(comes_to({{"127.0.6.3", 2}}));
    EXPECT_TRUE(wait_for([&] { return ports_of_the_kernel() == Ports{{"127.0.6.3", 2}}; }));
    connect(1);
    EXPECT_TRUE(wait_for([&] {
        const Ports ports = ports_in_the_metrics(proxy, "in");
        return ports == ports_of_the_kernel() && ports == Ports{{"127.0.6.3", 3}};
    })) << "one that was warm, and another one in its place";
}

TEST(SourceAddress, an_attempt_that_failed_holds_no_port) {
    const ScopedNetns netns;
    const ClosedPort nobody;
    ProxyProcess proxy(
        one_service({nobody.address.text()}, "", "source_address = \"127.0.6.1\"\nattempts = 3"));
    EXPECT_FALSE(established(proxy.address()));
    expect_lines(proxy, 1);
    EXPECT_EQ(ports_in_the_metrics(proxy, "in"), (Ports{{"127.0.6.1", 0}}));
}

}  // namespace
}  // namespace penstock::test
