#include <vector>

#include "tests/integration/scenario.hpp"
#include "tests/support/strace.hpp"

// What a relayed message costs in system calls: counts, so they hold on any machine.
namespace penstock::test {
namespace {

class SystemCalls : public testing::Test {
protected:
    /// Calls per round trip over `connections` busy connections at a time: the least of three
    /// measurements, because messages that a busy machine lets arrive one by one take a wake-up
    /// each.
    double per_round_trip(std::size_t connections, int rounds) {
        return std::min({measure(connections, rounds), measure(connections, rounds),
                         measure(connections, rounds)});
    }

private:
    double measure(std::size_t connections, int rounds) {
        std::vector<Socket> clients;
        for (std::size_t i = 0; i < connections; ++i) {
            auto client = established(proxy.address());
            if (!client) throw std::runtime_error("cannot connect");
            clients.push_back(std::move(*client));
        }
        const Strace trace(proxy.pid(), {"trace=all"});
        const std::size_t before = trace.calls();
        for (int round = 0; round < rounds; ++round) {
            for (Socket& client : clients) client.send("0123456789abcdef");
            for (Socket& client : clients)
                if (client.receive_text(16) != "0123456789abcdef")
                    throw std::runtime_error("a round trip failed");
        }
        const auto counted = static_cast<double>(trace.calls() - before);
        return counted / (static_cast<double>(connections) * rounds);
    }

protected:
    EchoServer echo;
    ProxyProcess proxy{one_service({echo.text()})};
};

TEST_F(SystemCalls, at_most_3_per_message_with_a_single_busy_connection) {
    const double calls = per_round_trip(1, 200);
    EXPECT_LE(calls, 6.3);  // two messages; a timer or two may fall into the measured time
    EXPECT_GE(calls, 4.0) << "the trace misses calls";
}

TEST_F(SystemCalls, at_most_4_5_per_round_trip_with_64_busy_connections) {
    const double calls = per_round_trip(64, 20);
    EXPECT_LE(calls, 4.5);
    EXPECT_GE(calls, 4.0) << "the trace misses calls";
}

TEST(SystemCallsOfBulk, go_through_splice) {
    ChaosBackend source([](Socket& socket, const ChaosBackend& me) {
        const std::string block(1 << 20, 'x');
        while (!me.stopping() && socket.send(block)) {
        }
    });
    ProxyProcess proxy(one_service({source.text()}));
    auto client = Socket::connect(proxy.address());
    ASSERT_TRUE(client);
    const Strace trace(proxy.pid(), {"trace=splice"});
    std::vector<std::byte> buffer(1 << 20);
    EXPECT_TRUE(wait_for([&] {
        for (int i = 0; i < 100; ++i)
            if (client->receive(buffer) <= 0) return false;
        return trace.calls("splice(") >= 100;
    }));
    // Left in the middle of it: splice() has no flag against SIGPIPE.
    client->reset();
    EXPECT_EQ(expect_lines(proxy, 1).at(0).reason, "client_reset");
    EXPECT_TRUE(proxy.child().running());
}

}  // namespace
}  // namespace penstock::test
