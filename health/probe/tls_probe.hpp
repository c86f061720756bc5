#pragma once

#include <memory>

#include <boost/asio/io_context.hpp>

#include "health/probe/probe.hpp"
#include "net/tls_client.hpp"

namespace penstock::health {

/// Ok when a TLS handshake completes. Who the server is does not matter.
class TlsProbe final : public Probe {
public:
    /// `timeout`: for the words of a time-out.
    TlsProbe(boost::asio::io_context& context, Duration timeout,
             std::shared_ptr<const net::TlsClientContext> tls);

    boost::asio::awaitable<ProbeResult> check(ProbeTarget target, TimePoint deadline) override;

private:
    boost::asio::io_context& context_;
    Duration timeout_;
    std::shared_ptr<const net::TlsClientContext> tls_;
};

}  // namespace penstock::health
