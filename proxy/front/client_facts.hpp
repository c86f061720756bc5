#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.hpp"
#include "proxy/access_log/record.hpp"

namespace penstock::proxy {

/// What a client has told beyond its bytes: what its line in the access log says of that. Whoever
/// remembers the line shares it.
struct ClientFacts {
    CompactEndpoint peer{};  // of the connection, where a PROXY header names another; else empty
    std::string route{};  // number of the route, or the name of `[listener.sni]`; "" = neither
    std::string server_name{};
    std::string alpn{};  // agreed on, or what was offered to be passed through
    std::string_view tls_version{};  // of OpenSSL, lives for ever; "" = TLS did not end here
    std::string_view tls_cipher{};
    std::string client_cert{};  // its subject
    bool tls_resumed = false;
    std::uint32_t tls_us = unknown_time;  // what the handshake took
    std::string problem{};  // why it was refused or failed, in words
};

}  // namespace penstock::proxy
