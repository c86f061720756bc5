#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "config/config.hpp"
#include "health/probe/make_probe.hpp"
#include "health/probe/probe.hpp"
#include "tests/support/deadline.hpp"

namespace penstock::health {

using namespace std::chrono_literals;

/// A check of this type whose time-out is `timeout`.
inline config::Upstream upstream_with(config::CheckType type, Duration timeout = 1s) {
    config::Upstream upstream;
    upstream.health_check.type = type;
    upstream.health_check.timeout = timeout;
    return upstream;
}

inline ProbeTarget target_at(const std::string& address, std::string host = "") {
    const auto endpoint = Endpoint::parse(address);
    if (!endpoint) throw std::invalid_argument(address + ": " + endpoint.error());
    return {.address = *endpoint, .host = std::move(host)};
}

/// Runs checks on an io_context of its own.
class ProbeRunner {
public:
    boost::asio::io_context& context() { return *context_; }

    void start(Probe& probe, ProbeTarget target, TimePoint deadline,
               std::function<void(ProbeResult)> on_end) {
        ++running_;
        boost::asio::co_spawn(
            *context_, probe.check(std::move(target), deadline),
            [this, on_end = std::move(on_end)](std::exception_ptr error, ProbeResult result) {
                --running_;
                if (error) std::rethrow_exception(error);
                on_end(std::move(result));
            });
    }

    void start(Probe& probe, ProbeTarget target, Duration timeout,
               std::function<void(ProbeResult)> on_end) {
        start(probe, std::move(target), SteadyClock().now() + timeout, std::move(on_end));
    }

    /// One check from its start to its end.
    ProbeResult run(Probe& probe, ProbeTarget target, Duration timeout) {
        ProbeResult result;
        start(probe, std::move(target), timeout,
              [&result](ProbeResult ended) { result = std::move(ended); });
        run_all();
        return result;
    }

    ProbeResult run(const config::Upstream& upstream, ProbeTarget target) {
        const auto probe = make_probe(*context_, upstream, {});
        return run(*probe, std::move(target), upstream.health_check.timeout);
    }

    /// Until all have ended; throws when they do not.
    void run_all() {
        context_->restart();
        context_->run_for(test::scaled(2 * test::patience));
        if (running_ > 0) throw std::runtime_error("checks do not end");
    }

    /// Until `holds`.
    template <class Predicate>
    bool run_until(Predicate holds) {
        return test::wait_for([&] {
            context_->restart();
            context_->poll();
            return holds();
        });
    }

    /// Everything that runs is destroyed where it stands.
    void destroy_context() {
        context_.reset();
        running_ = 0;
    }

    [[nodiscard]] std::size_t running() const { return running_; }

private:
    std::unique_ptr<boost::asio::io_context> context_ = std::make_unique<boost::asio::io_context>();
    std::size_t running_ = 0;
};

/// A time-out that no test waits for: what is expected comes before.
inline constexpr Duration long_timeout = std::chrono::minutes(1);

}  // namespace penstock::health
