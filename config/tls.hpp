#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace penstock::config {

/// A certificate chain and its private key; absolute paths.
struct CertificateFile {
    std::string cert{};               // may be a pattern, `/etc/penstock/certs/*.pem`
    std::string key{};                // "" = in the file of the certificate
    std::string key_password_file{};  // "" = the key is not encrypted
    bool operator==(const CertificateFile&) const = default;
};

enum class TlsVersion : std::uint8_t { tls12, tls13 };
enum class ClientAuth : std::uint8_t { off, optional, required };

/// TLS towards clients.
struct ListenerTls {
    std::vector<CertificateFile> certificates{};  // the first is default
    TlsVersion min_version = TlsVersion::tls12;
    TlsVersion max_version = TlsVersion::tls13;
    std::string ciphers{};  // "" = Mozilla intermediate
    std::vector<std::string> alpn{};
    std::string client_ca{};   // absolute; "" = none
    std::string client_crl{};  // absolute; "" = none
    ClientAuth client_auth = ClientAuth::off;
    std::vector<std::string> client_names{};  // empty = any that verifies
    bool session_tickets = true;
    std::uint32_t session_cache = 20000;                  // 0 = off
    std::vector<std::string> session_ticket_key_files{};  // absolute; newest first
    bool strict_sni = false;
    std::uint64_t max_handshakes = 0;  // 0 = unlimited
    bool operator==(const ListenerTls&) const = default;
};

/// TLS towards backends.
struct UpstreamTls {
    std::string server_name{};  // "" = the host name of the backend's address
    std::string ca{};           // absolute; "" = the system's
    std::string crl{};          // absolute; "" = none
    bool verify = true;
    CertificateFile client_certificate{};  // no cert = none
    bool session_reuse = true;
    std::vector<std::string> alpn{};
    TlsVersion min_version = TlsVersion::tls12;
    bool operator==(const UpstreamTls&) const = default;
};

}  // namespace penstock::config
