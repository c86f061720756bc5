#pragma once

#include <string>
#include <vector>

#include "tests/support/pki.hpp"
#include "tests/support/tls_stream.hpp"

namespace penstock::test {

struct TlsClientOptions {
    std::string server_name{};        // SNI; "" = none is sent
    std::vector<std::string> alpn{};  // offered, in this order
    std::string alpn_raw{};           // instead: the bytes of the wire
    std::string ca_file{};  // "" = any certificate will do
    std::string verify_name{};  // with ca_file: what the certificate must bear; "" = server_name
    const Pair* certificate = nullptr;
    TlsVersion min_version = TlsVersion::any;
    TlsVersion max_version = TlsVersion::any;
    std::string ciphers{};     // of TLS 1.2; "" = OpenSSL's own
    std::string signatures{};  // "" = OpenSSL's own
    bool tickets = true;
    std::size_t padding = 0;  // bytes that make the ClientHello longer, at most 64,000
    std::string before{};     // sent in front of the ClientHello, in the same segment
    SocketOptions socket{};
};

/// A client with its own OpenSSL context, which shares nothing with the program under test.
class TlsClient : public TlsStream {
public:
    explicit TlsClient(const TlsClientOptions& options = {}, const TlsSession& resume = {});

    /// TCP, and `before`, which waits for the hello.
    bool connect(const Address& to, milliseconds limit = patience);
    /// connect() and the handshake.
    bool open(const Address& to, milliseconds limit = patience);
    /// Sends `text` and waits for its return.
    bool ping(std::string_view text = "ping", milliseconds limit = patience);
    /// close_notify and FIN, and waits for the same.
    bool close_cleanly(milliseconds limit = patience);

private:
    std::string before_;
    SocketOptions socket_options_;
};

/// The bytes of a ClientHello with its record header.
[[nodiscard]] std::string client_hello(const TlsClientOptions& options);

}  // namespace penstock::test
