#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "config/upstream.hpp"
#include "health/probe/probe.hpp"
#include "health/probe/stream.hpp"
#include "net/tls/context.hpp"
#include "net/tls/memory_client.hpp"

namespace penstock::health {

/// How checks of an upstream's backends begin to talk.
struct Opening {
    std::string header{};  // goes before everything else: a PROXY header; "" = none
    /// TLS as for clients; null = see `any_server`.
    std::shared_ptr<const net::tls::ClientContext> tls{};
    /// TLS with whoever answers; null = plain.
    std::shared_ptr<const net::tls::UnverifiedContext> any_server{};
};

/// The PROXY header of that upstream's checks, in which the proxy speaks for itself; "" = none.
[[nodiscard]] std::string check_header(const config::Upstream& upstream);

/// The name that a TLS server is to be told: `host`, unless it is an IP address; "" = none.
[[nodiscard]] std::string server_name_of(std::string_view host);

/// Connects to the target, sends the header, and does the TLS handshake. `server_name`: what
/// `any_server` is asked for, "" = nothing.
[[nodiscard]] boost::asio::awaitable<bool> open(Stream& stream, ProbeTarget target, Opening how,
                                                std::string server_name);

}  // namespace penstock::health
