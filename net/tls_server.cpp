#include "net/tls_server.hpp"

#include <openssl/ssl.h>

#include "net/tls/certificates.hpp"
#include "net/tls/settings.hpp"

namespace penstock::net {

std::expected<std::shared_ptr<const TlsServerContext>, std::string> TlsServerContext::make(
    const tls::KeyPair& pair) {
    const std::string usual_ciphers;
    auto context = tls::make_context(TLS_server_method(),
                                     {tls::Version::tls12, tls::Version::tls13, usual_ciphers});
    if (!context) return std::unexpected(context.error());
    auto loaded = tls::load_pair(pair);
    if (!loaded) return std::unexpected(loaded.error());
    if (auto used = tls::use_pair(context->get(), *loaded); !used)
        return std::unexpected(used.error());
    SSL_CTX_set_options(context->get(), SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context->get(), 0);
    SSL_CTX_set_session_cache_mode(context->get(), SSL_SESS_CACHE_OFF);
    const std::shared_ptr<TlsServerContext> made(new TlsServerContext(context->release()));
    tls::describe_pair(*loaded, made->certificates_, made->warnings_);
    return made;
}

TlsServerContext::~TlsServerContext() { SSL_CTX_free(context_); }

ssl_ctx_st* TlsServerContext::share() const noexcept {
    SSL_CTX_up_ref(context_);
    return context_;
}

}  // namespace penstock::net
