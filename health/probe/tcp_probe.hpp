#pragma once

#include <boost/asio/io_context.hpp>

#include "health/probe/probe.hpp"

namespace penstock::health {

/// Ok when the server's kernel accepts the connection.
class TcpProbe final : public Probe {
public:
    /// `timeout`: for the words of a time-out.
    TcpProbe(boost::asio::io_context& context, Duration timeout)
        : context_(context), timeout_(timeout) {}

    boost::asio::awaitable<ProbeResult> check(ProbeTarget target, TimePoint deadline) override;

private:
    boost::asio::io_context& context_;
    Duration timeout_;
};

}  // namespace penstock::health
