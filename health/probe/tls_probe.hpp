#pragma once

#include <boost/asio/io_context.hpp>

#include "health/probe/connection.hpp"
#include "health/probe/probe.hpp"

namespace penstock::health {

/// Ok when a TLS handshake completes; who the server is matters where the opening verifies.
class TlsProbe final : public Probe {
public:
    /// `timeout`: for the words of a time-out.
    TlsProbe(boost::asio::io_context& context, Duration timeout, Opening opening);

    boost::asio::awaitable<ProbeResult> check(ProbeTarget target, TimePoint deadline) override;

private:
    boost::asio::io_context& context_;
    Duration timeout_;
    Opening opening_;
};

}  // namespace penstock::health
