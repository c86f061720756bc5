#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "health/probe/probe.hpp"

namespace penstock::health {

/// The server accepts a connection.
class TcpProbe final : public Probe {
public:
    explicit TcpProbe(boost::asio::io_context& context) : context_(context) {}

    [[nodiscard]] boost::asio::awaitable<ProbeResult> check(ProbeTarget target,
                                                            TimePoint deadline) override;

private:
    boost::asio::io_context& context_;
};

}  // namespace penstock::health
