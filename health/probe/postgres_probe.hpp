#pragma once

#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "config/upstream.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// The server lets the user in and answers a query; it is a replica while it is in recovery.
/// Without a user: `postgres`. The unix socket of a server must have its usual name, .s.PGSQL.PORT.
/// TLS is libpq's own, by the rules of [upstream.tls]: it asks for TLS as PostgreSQL's clients do,
/// reads the files at each check, and does without over unix sockets.
class PostgresProbe final : public Probe {
public:
    PostgresProbe(boost::asio::io_context& context, const config::Upstream& settings,
                  std::string password);

    [[nodiscard]] boost::asio::awaitable<ProbeResult> check(ProbeTarget target,
                                                            TimePoint deadline) override;

private:
    boost::asio::io_context& context_;
    config::Upstream settings_;
    std::string password_;
};

}  // namespace penstock::health
