#include "net/tls/own_server.hpp"

#include <openssl/ssl.h>

#include "net/tls/certificates.hpp"
#include "net/tls/settings.hpp"

namespace penstock::net::tls {

std::expected<std::shared_ptr<const OwnServerContext>, std::string> OwnServerContext::make(
    const KeyPair& pair) {
    const std::string usual_ciphers;
    auto context =
        make_context(TLS_server_method(), {Version::tls12, Version::tls13, usual_ciphers});
    if (!context) return std::unexpected(context.error());
    auto loaded = load_pair(pair);
    if (!loaded) return std::unexpected(loaded.error());
    if (auto used = use_pair(context->get(), *loaded); !used) return std::unexpected(used.error());
    SSL_CTX_set_options(context->get(), SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context->get(), 0);
    SSL_CTX_set_session_cache_mode(context->get(), SSL_SESS_CACHE_OFF);
    const std::shared_ptr<OwnServerContext> made(new OwnServerContext(context->release()));
    describe_pair(*loaded, made->certificates_, made->warnings_);
    return made;
}

OwnServerContext::~OwnServerContext() { SSL_CTX_free(context_); }

ssl_ctx_st* OwnServerContext::share() const noexcept {
    SSL_CTX_up_ref(context_);
    return context_;
}

}  // namespace penstock::net::tls
