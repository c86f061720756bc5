#pragma once

#include <expected>
#include <string>
#include <vector>

#include "net/tls/certificates.hpp"
#include "net/tls/handles.hpp"
#include "net/tls/options.hpp"

namespace penstock::net::tls {

/// What both sides have in common. `name` goes before errors: what was being configured.
struct Policy {
    Version min_version = Version::tls12;
    Version max_version = Version::tls13;
    const std::string& ciphers;  // OpenSSL's list, TLS 1.2 and 1.3 mixed; "" = Mozilla intermediate
};

/// A context with every setting that makes policy, so that no file of OpenSSL's has a say.
[[nodiscard]] std::expected<ContextPtr, std::string> make_context(const SSL_METHOD* method,
                                                                  const Policy& policy);

/// The error names the file: OpenSSL finds the pair too weak.
[[nodiscard]] std::expected<void, std::string> use_pair(SSL_CTX* context, const LoadedPair& pair);

/// As ALPN has it on the wire. The error is a sentence.
[[nodiscard]] std::expected<std::string, std::string> wire_protocols(
    const std::vector<std::string>& protocols);

/// For OpenSSL's session id context: 32 bytes that differ where any of `parts` does.
[[nodiscard]] std::string session_scope(const std::vector<std::string>& parts);

}  // namespace penstock::net::tls
