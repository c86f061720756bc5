#pragma once

#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "health/probe/probe.hpp"

namespace penstock::health {

/// Ok when the server's kernel accepts the connection.
class TcpProbe final : public Probe {
public:
    /// `timeout`: for the words of a time-out. `header`: what a server wants to have first.
    TcpProbe(boost::asio::io_context& context, Duration timeout, std::string header)
        : context_(context), timeout_(timeout), header_(std::move(header)) {}

    boost::asio::awaitable<ProbeResult> check(ProbeTarget target, TimePoint deadline) override;

private:
    boost::asio::io_context& context_;
    Duration timeout_;
    std::string header_;
};

}  // namespace penstock::health
