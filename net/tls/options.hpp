#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/secret.hpp"

namespace penstock::net::tls {

enum class Version : std::uint8_t { tls12, tls13 };
enum class ClientAuth : std::uint8_t { off, optional, required };

/// A certificate chain and its key, as read. The texts of keys and passwords are wiped by whoever
/// reads them, after use (`wipe()`).
struct KeyPair {
    std::string cert_file{};  // for messages
    std::string key_file{};
    std::string cert_pem{};  // the certificate first, then its chain
    std::string key_pem{};
    std::vector<std::string> passwords{};  // tried in turn
};

using penstock::wipe;
void wipe(KeyPair& pair) noexcept;

constexpr std::chrono::seconds usual_session_lifetime = std::chrono::hours(2);

/// For a listener that terminates TLS.
struct ServerOptions {
    std::string name{};  // the listener's: sessions of another one are not accepted
    std::vector<KeyPair> certificates{};  // the first is default
    Version min_version = Version::tls12;
    Version max_version = Version::tls13;
    std::string ciphers{};  // OpenSSL's list, TLS 1.2 and 1.3 mixed; "" = Mozilla intermediate
    std::vector<std::string> alpn{};
    std::string client_ca_file{};  // for messages
    std::string client_ca_pem{};
    std::string client_crl_file{};
    std::string client_crl_pem{};  // "" = revocation is not checked
    ClientAuth client_auth = ClientAuth::off;
    std::vector<std::string> client_names{};  // `spiffe://...`, `a.example`, `*.example`
    bool session_tickets = true;
    std::uint32_t session_cache = 20000;
    /// So long after the handshake that made it a session may be resumed; no resumption renews it.
    std::chrono::seconds session_lifetime = usual_session_lifetime;
    bool strict_sni = false;
    /// Names that are known beside those of the certificates, for strict_sni; exact or `*.`.
    std::vector<std::string> known_names{};
};

/// For an upstream whose backends speak TLS.
struct ClientOptions {
    std::string ca_file{};  // for messages
    std::string ca_pem{};  // "" = the system's
    std::string crl_file{};
    std::string crl_pem{};
    bool verify = true;
    std::vector<KeyPair> certificate{};  // none, or one
    bool session_reuse = true;
    std::chrono::seconds session_lifetime = usual_session_lifetime;  // as for listeners
    std::vector<std::string> alpn{};
    Version min_version = Version::tls12;
};

using SystemTime = std::chrono::system_clock::time_point;

/// What an operator wants to know of a certificate.
struct CertificateInfo {
    std::string file{};
    std::string subject{};
    std::vector<std::string> names{};  // its DNS and IP SANs
    SystemTime not_before{};
    SystemTime not_after{};
};

/// What an operator wants to know of a list of revoked certificates.
struct RevocationInfo {
    std::string file{};
    std::string issuer{};
    SystemTime last_update{};
    SystemTime next_update = SystemTime::max();  // it has expired then; max() = it does not say
};

}  // namespace penstock::net::tls
