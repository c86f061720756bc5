#pragma once

#include <string>

#include "base/endpoint.hpp"
#include "config/upstream.hpp"

/// How connections to an upstream's backends begin: what those of clients and those of checks have
/// to agree about.
namespace penstock::config {

/// Whom a backend's certificate has to name, and whom a server is asked for: `server_name`, else
/// `host`, the host name the backend was found under ("" = none), else its IP address; "" =
/// there is none (a unix socket).
[[nodiscard]] std::string verify_name(const Upstream& upstream, const std::string& host,
                                      const Endpoint& address);

/// Whether what checks of these backends say is inside TLS, where their type leaves that open.
[[nodiscard]] bool checks_speak_tls(const Upstream& upstream) noexcept;
/// Whether that TLS, or a handshake that is the check, is done as for clients: [upstream.tls].
[[nodiscard]] bool checks_verify(const Upstream& upstream) noexcept;
/// The server names of its clients matter beyond what routes ask for: they are hashed, or told to
/// the backends.
[[nodiscard]] bool wants_names(const Upstream& upstream) noexcept;
/// Which PROXY header checks begin with.
[[nodiscard]] SendProxyProtocol header_of_checks(const Upstream& upstream) noexcept;

}  // namespace penstock::config
