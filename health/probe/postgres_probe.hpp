#pragma once

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "config/health.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// The server lets the user in and answers a query; it is a replica while it is in recovery.
/// Without a user: `postgres`. The unix socket of a server must have its usual name, .s.PGSQL.PORT.
class PostgresProbe final : public Probe {
public:
    PostgresProbe(boost::asio::io_context& context, const config::HealthCheck& settings,
                  std::string password);

    [[nodiscard]] boost::asio::awaitable<ProbeResult> check(ProbeTarget target,
                                                            TimePoint deadline) override;

private:
    boost::asio::io_context& context_;
    config::HealthCheck settings_;
    std::string password_;
};

}  // namespace penstock::health
