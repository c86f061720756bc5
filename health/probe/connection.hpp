#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "health/probe/probe.hpp"
#include "health/probe/stream.hpp"
#include "net/tls_client.hpp"

namespace penstock::health {

/// The name that a TLS server is to be told: `host`, unless it is an IP address; "" = none.
[[nodiscard]] std::string server_name_of(std::string_view host);

/// Connects to the target, and does the TLS handshake if there is a context.
[[nodiscard]] boost::asio::awaitable<bool> open(Stream& stream, Endpoint to,
                                                std::shared_ptr<const net::TlsClientContext> tls,
                                                std::string server_name);

}  // namespace penstock::health
