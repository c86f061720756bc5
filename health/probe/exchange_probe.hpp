#pragma once

#include <optional>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "config/health.hpp"
#include "health/probe/connection.hpp"
#include "health/probe/probe.hpp"
#include "net/tls_client.hpp"

namespace penstock::health {

/// The server answers some bytes with some bytes; over TLS if `tls` is on.
class ExchangeProbe final : public Probe {
public:
    ExchangeProbe(boost::asio::io_context& context, config::ExchangeCheck settings, bool over_tls);

    [[nodiscard]] boost::asio::awaitable<ProbeResult> check(ProbeTarget target,
                                                            TimePoint deadline) override;

private:
    template <typename Stream>
    boost::asio::awaitable<ProbeResult> talk(Stream& stream, ProbeConnection& connection);

    boost::asio::io_context& context_;
    config::ExchangeCheck settings_;
    std::optional<net::TlsClient> tls_;
};

}  // namespace penstock::health
