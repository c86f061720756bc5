#include "net/tls/memory_client.hpp"

#include <algorithm>
#include <climits>
#include <new>
#include <stdexcept>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/tls/client_setup.hpp"
#include "net/tls/context.hpp"
#include "net/tls/error.hpp"

namespace penstock::net::tls {

namespace {

int clamped(std::size_t size) { return static_cast<int>(std::min<std::size_t>(size, INT_MAX)); }

}  // namespace

UnverifiedContext::UnverifiedContext() : context_(nullptr) {
    ignore_openssl_conf();
    context_ = SSL_CTX_new(TLS_client_method());
    if (context_ == nullptr || SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION) != 1) {
        SSL_CTX_free(context_);
        throw std::runtime_error("cannot set up TLS: " + take_reason());
    }
    SSL_CTX_set_verify(context_, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
}

UnverifiedContext::~UnverifiedContext() { SSL_CTX_free(context_); }

MemoryClient::MemoryClient(ssl_ctx_st* context)
    : session_(SSL_new(context)),
      from_server_(BIO_new(BIO_s_mem())),
      to_server_(BIO_new(BIO_s_mem())) {
    if (session_ == nullptr || from_server_ == nullptr || to_server_ == nullptr) {
        SSL_free(session_);
        BIO_free(from_server_);
        BIO_free(to_server_);
        throw std::bad_alloc();
    }
    // An empty queue is no end of the stream: more may come.
    BIO_set_mem_eof_return(from_server_, -1);
    SSL_set_bio(session_, from_server_, to_server_);
    SSL_set_connect_state(session_);
}

MemoryClient::MemoryClient(const ClientContext& context, const std::string& verify_name)
    : MemoryClient(context.native()) {
    expect_server(session_, verify_name);
}

MemoryClient::MemoryClient(const UnverifiedContext& context, const std::string& server_name)
    : MemoryClient(context.context_) {
    // Names that are too long for the extension are not sent.
    if (!server_name.empty())
        SSL_ctrl(session_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(server_name.c_str()));
    ERR_clear_error();
}

MemoryClient::~MemoryClient() { SSL_free(session_); }

MemoryClient::Step MemoryClient::outcome(int result) {
    if (result > 0) return {Status::ok, static_cast<std::size_t>(result)};
    switch (SSL_get_error(session_, result)) {
        case SSL_ERROR_WANT_READ: return {Status::needs_input};
        case SSL_ERROR_ZERO_RETURN: return {Status::ended};
        default:
            error_ = take_trouble(session_).text;
            if (error_.empty()) error_ = "unknown error";
            return {Status::failed};
    }
}

MemoryClient::Step MemoryClient::handshake() {
    ERR_clear_error();
    return outcome(SSL_do_handshake(session_));
}

MemoryClient::Step MemoryClient::read(std::span<char> into) {
    ERR_clear_error();
    return outcome(SSL_read(session_, into.data(), clamped(into.size())));
}

MemoryClient::Step MemoryClient::write(std::string_view bytes) {
    if (bytes.empty()) return {Status::ok};  // nothing to encrypt is an error to OpenSSL
    ERR_clear_error();
    return outcome(SSL_write(session_, bytes.data(), clamped(bytes.size())));
}

void MemoryClient::say_goodbye() {
    if (!error_.empty() || SSL_is_init_finished(session_) == 0) return;
    ERR_clear_error();
    SSL_shutdown(session_);
    ERR_clear_error();
}

void MemoryClient::feed(std::string_view from_server) {
    if (BIO_write(from_server_, from_server.data(), clamped(from_server.size())) !=
        static_cast<int>(from_server.size()))
        throw std::bad_alloc();
}

std::string MemoryClient::take_output() {
    std::string output(BIO_ctrl_pending(to_server_), '\0');
    if (!output.empty()) BIO_read(to_server_, output.data(), clamped(output.size()));
    return output;
}

std::string_view MemoryClient::protocol() const noexcept { return SSL_get_version(session_); }

}  // namespace penstock::net::tls
