#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "health/probe/probe.hpp"
#include "net/tls_client.hpp"

namespace penstock::health {

/// The server completes a TLS handshake, whatever its certificate says.
class TlsProbe final : public Probe {
public:
    explicit TlsProbe(boost::asio::io_context& context) : context_(context) {}

    [[nodiscard]] boost::asio::awaitable<ProbeResult> check(ProbeTarget target,
                                                            TimePoint deadline) override;

private:
    boost::asio::io_context& context_;
    net::TlsClient tls_;
};

}  // namespace penstock::health
