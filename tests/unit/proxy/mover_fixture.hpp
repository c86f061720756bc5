#pragma once

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

#include "base/random.hpp"
#include "proxy/mover.hpp"
#include "tests/unit/net/socket_pair.hpp"

namespace penstock::proxy {

/// One direction of a relay between two TCP connections of which the test plays the far ends.
class MoverTest : public testing::Test {
protected:
    explicit MoverTest(std::size_t cap = 1 << 20) : loop(cap) {
        from.adopt(std::move(source.first), net::SocketKind::tcp);
        to.adopt(std::move(sink.first), net::SocketKind::tcp);
        EXPECT_FALSE(loop.poller().add(from, net::Poller::stream_events));
        EXPECT_FALSE(loop.poller().add(to, net::Poller::stream_events));
        std::ignore = net::turn_until(loop, [this] { return to.writable.ready(); });
    }
    ~MoverTest() override { release_memory(flow, loop); }

    Step step() { return Mover(loop, flow, from, to).run(); }
    bool wait_readable() {
        return net::turn_until(loop, [this] { return from.readable.ready(); });
    }
    // What has been sent on, exactly so much; shorter when it does not come.
    std::string read(std::size_t size) {
        const timeval limit{20, 0};
        ::setsockopt(sink.second.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        std::string text(size, '\0');
        const auto n = ::recv(sink.second.get(), text.data(), size, MSG_WAITALL);
        text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
        return text;
    }
    // What has arrived by now.
    std::string read_all(std::size_t most = 1 << 24) {
        std::string text;
        char buffer[65536];
        for (ssize_t n; text.size() < most &&
                        (n = ::recv(sink.second.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0;)
            text.append(buffer, static_cast<std::size_t>(n));
        return text;
    }
    // Relays everything the peer of `from` writes, pulling slowly at the other end.
    std::string relay(const std::string& data, std::size_t pull) {
        std::string got;
        std::size_t sent = 0;
        const auto end = SteadyClock().now() + std::chrono::seconds(60);
        while (got.size() < data.size() && SteadyClock().now() < end) {
            if (sent < data.size()) {
                const auto n = ::send(source.second.get(), data.data() + sent, data.size() - sent,
                                      MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n > 0) sent += static_cast<std::size_t>(n);
            }
            loop.turn(Duration::zero());
            const Step result = step();
            EXPECT_TRUE(result.kind == StepKind::wait || result.kind == StepKind::yield);
            got += read_all(pull);
        }
        return got;
    }
    static std::string pattern(std::size_t size) {
        Random random(3);
        std::string text(size, '\0');
        for (auto& c : text) c = static_cast<char>(random.next());
        return text;
    }

    net::EventLoop loop;
    net::IgnoreHangups handler;
    std::pair<net::UniqueFd, net::UniqueFd> source = net::tcp_pair();
    std::pair<net::UniqueFd, net::UniqueFd> sink = net::tcp_pair();
    net::Socket from{handler};
    net::Socket to{handler};
    Flow flow;
};

}  // namespace penstock::proxy
