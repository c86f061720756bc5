#pragma once

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "config/health.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// The server lets the user in and answers a query; it is a replica while it is read-only. Without
/// a user it is enough that the server refuses the login by its protocol; there is no role then.
class MysqlProbe final : public Probe {
public:
    MysqlProbe(boost::asio::io_context& context, const config::HealthCheck& settings,
               std::string password);

    [[nodiscard]] boost::asio::awaitable<ProbeResult> check(ProbeTarget target,
                                                            TimePoint deadline) override;

private:
    boost::asio::io_context& context_;
    config::HealthCheck settings_;
    std::string password_;
};

}  // namespace penstock::health
