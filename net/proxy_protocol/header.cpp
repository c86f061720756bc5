#include "net/proxy_protocol/header.hpp"

namespace penstock::net::proxy_protocol {

namespace {

// proxy-protocol.txt 2.2.6
constexpr char client_ssl = 0x01;
constexpr char client_cert_conn = 0x02;
constexpr char client_cert_sess = 0x04;
constexpr char subtype_version = 0x21;
constexpr char subtype_common_name = 0x22;
constexpr char subtype_cipher = 0x23;

// A value that was cut would name somebody else.
void append(std::string& out, char type, const std::string& value) {
    if (value.empty() || value.size() > longest_ssl_value) return;
    out += type;
    out += static_cast<char>(value.size() >> 8);
    out += static_cast<char>(value.size() & 0xff);
    out += value;
}

}  // namespace

std::string encode(const SslTlv& ssl) {
    const bool verified = ssl.client_cert || ssl.resumed_cert;
    char client = client_ssl;
    // Who gave it in this connection has given it in its session.
    if (ssl.client_cert) client |= client_cert_conn;
    if (verified) client |= client_cert_sess;
    std::string value{client, 0, 0, 0, verified ? '\0' : '\1'};
    append(value, subtype_version, ssl.version);
    append(value, subtype_common_name, ssl.common_name);
    append(value, subtype_cipher, ssl.cipher);
    return value;
}

}  // namespace penstock::net::proxy_protocol
