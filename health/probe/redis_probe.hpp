#pragma once

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "config/health.hpp"
#include "health/probe/connection.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// The server answers PING, after AUTH where a password is given; ROLE says its role. One that may
/// not be asked for its role is well without one.
class RedisProbe final : public Probe {
public:
    RedisProbe(boost::asio::io_context& context, const config::HealthCheck& settings,
               std::string password, Opening opening);

    [[nodiscard]] boost::asio::awaitable<ProbeResult> check(ProbeTarget target,
                                                            TimePoint deadline) override;

    struct Settings;

private:
    boost::asio::io_context& context_;
    std::shared_ptr<const Settings> settings_;
};

}  // namespace penstock::health
