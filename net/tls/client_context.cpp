#include <new>
#include <utility>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "net/tls/client_setup.hpp"
#include "net/tls/context.hpp"
#include "net/tls/context_state.hpp"
#include "net/tls/error.hpp"
#include "net/tls/settings.hpp"
#include "net/tls/stream.hpp"

namespace penstock::net::tls {

namespace {

using Done = std::expected<void, std::string>;

bool is_address(const std::string& name) noexcept {
    unsigned char raw[16];
    return ::inet_pton(AF_INET, name.c_str(), raw) == 1 ||
           ::inet_pton(AF_INET6, name.c_str(), raw) == 1;
}

Done trust_servers(SSL_CTX* context, const ClientOptions& options,
                   std::vector<CertificateInfo>& infos, std::vector<std::string>& warnings,
                   std::vector<RevocationInfo>& revocations) {
    if (!options.verify) return {};
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, note_refused);
    if (options.ca_pem.empty()) {
        if (SSL_CTX_set_default_verify_paths(context) != 1)
            return std::unexpected("the system's authorities cannot be used: " + take_reason());
        const auto lists =
            add_revocations(SSL_CTX_get_cert_store(context), options.crl_file, options.crl_pem);
        if (!lists) return std::unexpected(lists.error());
        revocations = *lists;
        warn_of_expired(revocations, warnings);
        return {};
    }
    const TrustSource source{options.ca_file, options.ca_pem, options.crl_file, options.crl_pem};
    const auto trust = fill_store(SSL_CTX_get_cert_store(context), source);
    if (!trust) return std::unexpected(trust.error());
    describe_trust(*trust, source, infos, warnings);
    revocations = trust->revocations;
    return {};
}

Done show_certificate(SSL_CTX* context, const ClientOptions& options,
                      std::vector<CertificateInfo>& infos, std::vector<std::string>& warnings) {
    if (options.certificate.empty()) return {};
    auto pair = load_pair(options.certificate.front());
    if (!pair) return std::unexpected(pair.error());
    if (auto used = use_pair(context, *pair); !used) return used;
    describe_pair(*pair, infos, warnings);
    return {};
}

Done offer_protocols(SSL_CTX* context, const std::vector<std::string>& protocols) {
    const auto wire = wire_protocols(protocols);
    if (!wire) return std::unexpected(wire.error());
    // 0 is success, for once.
    if (!wire->empty() &&
        SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(wire->data()),
                                static_cast<unsigned int>(wire->size())) != 0)
        return std::unexpected("alpn: " + take_reason());
    return {};
}

// Of the own certificate only what it is: its file may hold the key as well.
std::string scope_of(const SSL_CTX* context, const ClientOptions& options) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    const X509* own = SSL_CTX_get0_certificate(context);
    if (own != nullptr && X509_digest(own, EVP_sha256(), digest, &size) != 1)
        throw std::bad_alloc();
    return session_scope({options.verify ? "verify" : "", options.ca_pem, options.crl_pem,
                          std::string(reinterpret_cast<const char*>(digest), size)});
}

}  // namespace

ClientContext::ClientContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
ClientContext::~ClientContext() = default;

std::expected<std::shared_ptr<const ClientContext>, std::string> ClientContext::make(
    const ClientOptions& options) {
    const std::string usual_ciphers;
    auto context =
        make_context(TLS_client_method(), {options.min_version, Version::tls13, usual_ciphers});
    if (!context) return std::unexpected(context.error());
    auto state = std::make_unique<State>();
    SSL_CTX* raw = context->get();
    if (auto done = show_certificate(raw, options, state->certificates, state->warnings); !done)
        return std::unexpected(done.error());
    if (auto done =
            trust_servers(raw, options, state->certificates, state->warnings, state->revocations);
        !done)
        return std::unexpected(done.error());
    if (auto done = offer_protocols(raw, options.alpn); !done) return std::unexpected(done.error());
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
    if (options.session_reuse) {
        SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(raw, Stream::keep_session);
    }
    state->session_scope = scope_of(raw, options);
    state->revocations_end = first_end(state->revocations);
    state->reuses_sessions = options.session_reuse;
    state->session_lifetime = options.session_lifetime;
    state->context = std::move(*context);
    return std::shared_ptr<const ClientContext>(new ClientContext(std::move(state)));
}

const std::vector<CertificateInfo>& ClientContext::certificates() const noexcept {
    return state_->certificates;
}

const std::vector<std::string>& ClientContext::warnings() const noexcept {
    return state_->warnings;
}

const std::vector<RevocationInfo>& ClientContext::revocations() const noexcept {
    return state_->revocations;
}

bool ClientContext::reuses_sessions() const noexcept { return state_->reuses_sessions; }
ssl_ctx_st* ClientContext::native() const noexcept { return state_->context.get(); }

void expect_server(SSL* ssl, const std::string& name) {
    SSL_set_connect_state(ssl);
    if (name.empty()) {
        // No certificate is for nobody; to OpenSSL no name would be any name. (RFC 6761: there is
        // no such host.)
        const bool verifies = (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
        if (verifies && SSL_set1_host(ssl, "nobody.invalid") != 1) throw std::bad_alloc();
        return;
    }
    if (is_address(name)) {
        if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) != 1)
            throw std::bad_alloc();
        return;
    }
    const std::string host = name.ends_with('.') ? name.substr(0, name.size() - 1) : name;
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set1_host(ssl, host.c_str()) != 1) throw std::bad_alloc();
    // A name that is too long for the extension is not sent.
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(host.c_str()));
    ERR_clear_error();
}

}  // namespace penstock::net::tls
