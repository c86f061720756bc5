#include "tests/support/tls_client.hpp"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <stdexcept>

namespace penstock::test {

namespace {

// An extension that nobody knows carries the padding.
constexpr unsigned padding_extension = 0xFAFA;

int add_padding(SSL*, unsigned, unsigned, const unsigned char** out, std::size_t* size, X509*,
                std::size_t, int*, void* argument) {
    const auto* text = static_cast<const std::string*>(argument);
    *out = reinterpret_cast<const unsigned char*>(text->data());
    *size = text->size();
    return 1;
}

const std::string* padding_of(std::size_t size) {
    static thread_local std::string text;
    text.assign(size, 'p');
    return &text;
}

void demand(bool holds, const char* what) {
    if (!holds) throw std::runtime_error(std::string("TLS client of the test: ") + what);
}

void limit_versions(SSL_CTX* context, const TlsClientOptions& options) {
    SSL_CTX_set_min_proto_version(context, number_of(options.min_version));
    SSL_CTX_set_max_proto_version(context, number_of(options.max_version));
    const bool old =
        options.max_version == TlsVersion::tls10 || options.max_version == TlsVersion::tls11;
    if (!old) return;
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0");
}

void show_certificate(SSL_CTX* context, const Pair& pair) {
    demand(SSL_CTX_use_certificate_chain_file(context, pair.cert_file.c_str()) == 1, "certificate");
    demand(SSL_CTX_use_PrivateKey_file(context, pair.key_file.c_str(), SSL_FILETYPE_PEM) == 1,
           "key");
}

void ask_for(SSL* ssl, const TlsClientOptions& options) {
    if (!options.server_name
             .empty())  // What the macro SSL_set_tlsext_host_name() does, without its old cast.
        demand(SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                        const_cast<char*>(options.server_name.c_str())) == 1,
               "server name");
    const std::string alpn = options.alpn_raw.empty() ? alpn_bytes(options.alpn) : options.alpn_raw;
    if (!alpn.empty())
        demand(SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(alpn.data()),
                                   static_cast<unsigned>(alpn.size())) == 0,
               "ALPN");
    if (options.ca_file.empty()) return;
    const std::string& name =
        options.verify_name.empty() ? options.server_name : options.verify_name;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (!name.empty()) demand(SSL_set1_host(ssl, name.c_str()) == 1, "name to verify");
}

SSL* make_ssl(const TlsClientOptions& options, const TlsSession& resume) {
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(
        SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
    limit_versions(context.get(), options);
    if (!options.ciphers.empty())
        demand(SSL_CTX_set_cipher_list(context.get(), options.ciphers.c_str()) == 1, "ciphers");
    if (!options.signatures.empty())
        demand(SSL_CTX_set1_sigalgs_list(context.get(), options.signatures.c_str()) == 1,
               "signatures");
    if (!options.tickets) SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
    if (options.certificate) show_certificate(context.get(), *options.certificate);
    if (!options.ca_file.empty()) {
        demand(SSL_CTX_load_verify_locations(context.get(), options.ca_file.c_str(), nullptr) == 1,
               "CA");
        SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
    }
    if (options.padding > 0)
        SSL_CTX_add_custom_ext(context.get(), padding_extension, SSL_EXT_CLIENT_HELLO, add_padding,
                               nullptr, const_cast<std::string*>(padding_of(options.padding)),
                               nullptr, nullptr);
    SSL* ssl = SSL_new(context.get());
    demand(ssl != nullptr, "SSL_new");
    SSL_set_connect_state(ssl);
    ask_for(ssl, options);
    if (resume) SSL_set_session(ssl, resume.native.get());
    return ssl;
}

}  // namespace

TlsClient::TlsClient(const TlsClientOptions& options, const TlsSession& resume)
    : TlsStream(make_ssl(options, resume)),
      before_(options.before),
      socket_options_(options.socket) {}

bool TlsClient::connect(const Address& to, milliseconds limit) {
    auto connected = Socket::connect(to, socket_options_, limit);
    if (!connected) return false;
    attach(std::move(*connected));
    return true;
}

bool TlsClient::open(const Address& to, milliseconds limit) {
    if (!connect(to, limit)) return false;
    if (!before_.empty() && !socket().send(before_ + begin(), limit)) return false;
    return handshake(limit);
}

bool TlsClient::ping(std::string_view text, milliseconds limit) {
    return send(text, limit) && receive_text(text.size(), limit) == text;
}

bool TlsClient::close_cleanly(milliseconds limit) {
    notify();
    socket().finish();
    return wait_end(limit) == TlsEnd::notified && socket().wait_end(limit) == End::fin;
}

std::string client_hello(const TlsClientOptions& options) { return TlsClient(options).begin(); }

}  // namespace penstock::test
