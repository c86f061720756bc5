#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "health/upstream_monitor.hpp"
#include "tests/unit/watched_loop.hpp"

namespace penstock::health::testing {

using namespace std::chrono_literals;

/// Answers as the test says, after a turn of the loop.
class FakeProbe final : public Probe {
public:
    explicit FakeProbe(boost::asio::io_context& context) : context_(context) {}
    boost::asio::awaitable<ProbeResult> check(ProbeTarget target, TimePoint deadline) override {
        ++running;
        verify_name = target.verify_name;
        most = std::max(most, running);
        Timer pause(context_);
        if (hang)
            pause.expires_at(std::chrono::steady_clock::time_point(deadline.time_since_epoch()));
        else
            pause.expires_after(1ms);
        co_await pause.async_wait(boost::asio::deferred);
        --running;
        ++done;
        const bool good = up && target.address.port() != 9;
        co_return ProbeResult{.ok = good, .role = Role::none, .detail = good ? "" : "it says no"};
    }
    bool up = true;
    bool hang = false;
    std::string verify_name;  // of the last target
    int running = 0;
    int most = 0;
    int done = 0;

private:
    boost::asio::io_context& context_;
};

struct Plane final : DataPlane {
    void publish(std::shared_ptr<const balancer::Snapshot> snapshot) override {
        ++published;
        last = std::move(snapshot);
        fewest = std::min(fewest, available());
    }
    void end_sessions(const EndSessions& which) override { ended.push_back(which); }
    void keep_sessions(const std::shared_ptr<const balancer::Backend>& backend,
                       EndCause cause) override {
        if (cause == EndCause::removed) kept.push_back(backend);
    }
    [[nodiscard]] std::size_t available() const {
        return last ? last->view(Role::none).available.count() : 0;
    }
    int published = 0;
    std::size_t fewest = ~std::size_t{0};  // who were available, of all that was published
    std::shared_ptr<const balancer::Snapshot> last;
    std::vector<EndSessions> ended;
    std::vector<std::shared_ptr<const balancer::Backend>> kept;  // that had been removed
};

class Monitored {
public:
    explicit Monitored(std::uint16_t backends, const config::CircuitBreaker& breaker = {},
                       std::vector<config::Discovery> discovery = {},
                       config::Balance balance = {}) {
        settings.name = "up";
        settings.balance = balance;
        settings.circuit_breaker = breaker;
        settings.panic_threshold = 0;
        settings.health_check = {.type = config::CheckType::tcp,
                                 .interval = 20ms,
                                 .fast_interval = 10ms,
                                 .down_interval = {5ms, 10ms},
                                 .timeout = 200ms};
        for (std::uint16_t i = 0; i < backends; ++i) {
            config::Backend backend;
            backend.name = "b" + std::to_string(i);
            backend.address = Endpoint::ipv4({127, 0, 0, 1}, static_cast<std::uint16_t>(1000 + i));
            settings.backends.push_back(backend);
        }
        settings.discovery = std::move(discovery);
        auto fake = std::make_unique<FakeProbe>(context);
        probe = fake.get();
        monitor = std::make_unique<UpstreamMonitor>(
            shared, std::make_shared<const config::Upstream>(settings), UpstreamMonitor::Options{},
            std::move(fake));
    }
    ~Monitored() {
        gate.close();
        monitor->stop();
        builder.join();
        context.restart();
        context.run();
    }
    template <typename Condition>
    bool until(Condition holds) {
        return test::run_until(context, holds);
    }

    test::Recorder log;
    boost::asio::io_context context{1};
    boost::asio::thread_pool builder{1};
    CheckGate gate{context};
    MonitorShared shared{context, builder, gate, log};
    config::Upstream settings;
    Plane plane;
    FakeProbe* probe = nullptr;
    std::unique_ptr<UpstreamMonitor> monitor;
};

}  // namespace penstock::health::testing
