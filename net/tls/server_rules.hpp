#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/tls/certificates.hpp"
#include "net/tls/handles.hpp"
#include "net/tls/names.hpp"
#include "net/tls/options.hpp"
#include "net/tls/ticket_keys.hpp"

namespace penstock::net::tls {

/// What OpenSSL's callbacks decide by. Belongs to the SSL_CTX and so lives as long as the last
/// connection made with it. Immutable; any thread.
struct ServerRules {
    std::vector<LoadedPair> pairs{};
    NameIndex names{};                  // of the certificates
    NameIndex known{};                  // others, for strict_sni
    NameIndex::Group default_group{};   // what the context itself holds
    std::vector<std::string> alpn{};    // in order of preference; empty = whatever
    std::vector<std::string> client_names{};
    std::shared_ptr<TicketKeys> tickets{};
    std::string session_scope{};  // sessions are resumed under the same rules alone
    SystemTime revocations_end = SystemTime::max();  // the first of the lists has expired then
    ClientAuth client_auth = ClientAuth::off;
    bool strict_sni = false;
    bool sends_tickets = false;  // of TLS 1.3, whether sealed or names of cached sessions

    /// Those of `group` that a client may be given: the first of each type of key.
    [[nodiscard]] NameIndex::Group one_of_each_type(const NameIndex::Group& group) const;
};

/// Hands `rules` to `context` and makes it ask them.
void install(SSL_CTX* context, std::unique_ptr<ServerRules> rules);
[[nodiscard]] const ServerRules& rules_of(const SSL* ssl) noexcept;

}  // namespace penstock::net::tls
