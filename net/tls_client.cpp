#include "net/tls_client.hpp"

#include <openssl/ssl.h>

namespace penstock::net {

TlsClient::TlsClient() : context_(boost::asio::ssl::context::tls_client) {
    SSL_CTX_set_min_proto_version(context_.native_handle(), TLS1_2_VERSION);
    context_.set_verify_mode(boost::asio::ssl::verify_none);
}

// As SSL_set_tlsext_host_name(), whose macro casts in the old style. A server that does not like
// the name says so in the handshake.
void TlsClient::set_server_name(SSL* session, const std::string& name) {
    if (!name.empty())
        SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(name.c_str()));
}

}  // namespace penstock::net
