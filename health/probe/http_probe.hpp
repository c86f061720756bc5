#pragma once

#include <optional>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "config/health.hpp"
#include "health/probe/connection.hpp"
#include "health/probe/probe.hpp"
#include "net/tls_client.hpp"

namespace penstock::health {

/// The server answers an HTTP/1.1 request with the status, and where wanted the text, that says it
/// is well; over TLS if `tls` is on.
class HttpProbe final : public Probe {
public:
    HttpProbe(boost::asio::io_context& context, config::HttpCheck settings, bool over_tls);

    [[nodiscard]] boost::asio::awaitable<ProbeResult> check(ProbeTarget target,
                                                            TimePoint deadline) override;

private:
    template <typename Stream>
    boost::asio::awaitable<ProbeResult> ask(Stream& stream, ProbeConnection& connection,
                                            const ProbeTarget& target);

    boost::asio::io_context& context_;
    config::HttpCheck settings_;
    std::optional<net::TlsClient> tls_;
};

}  // namespace penstock::health
