#include "tests/bench/loadgen/channel.hpp"

#include <openssl/err.h>
#include <sys/epoll.h>

#include <stdexcept>

namespace penstock::bench {

namespace {

int keep_session(SSL* ssl, SSL_SESSION* session) {
    static_cast<TlsSession*>(SSL_get_app_data(ssl))->reset(session);
    return 1;  // it is ours now
}

}  // namespace

TlsClient::TlsClient(const std::string& ca_file) : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX* context = context_.get();
    if (context == nullptr ||
        SSL_CTX_load_verify_locations(context, ca_file.c_str(), nullptr) != 1 ||
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set1_groups_list(context, "X25519") != 1)
        throw std::runtime_error("cannot set up TLS with " + ca_file);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, keep_session);
}

Channel::Channel(UniqueFd fd, const TlsClient* tls, const TlsSession& resume) : fd_(std::move(fd)) {
    if (tls == nullptr || !fd_) return;
    ssl_.reset(SSL_new(tls->context()));
    if (!ssl_ || SSL_set_fd(ssl_.get(), fd_.get()) != 1) throw std::bad_alloc();
    SSL_set_app_data(ssl_.get(), offered_.get());
    SSL_set_connect_state(ssl_.get());
    if (resume) SSL_set_session(ssl_.get(), resume.get());
}

Channel& Channel::operator=(Channel&& other) noexcept {
    close();
    offered_ = std::move(other.offered_);
    ssl_ = std::move(other.ssl_);
    fd_ = std::move(other.fd_);
    return *this;
}

void Channel::close() {
    if (ssl_ && SSL_is_init_finished(ssl_.get()) == 1) {
        SSL_shutdown(ssl_.get());
        ERR_clear_error();
    }
    ssl_.reset();
    fd_.close();
}

Transfer::State Channel::establish() {
    if (!ssl_) return Transfer::State::done;
    ERR_clear_error();
    return classify(SSL_do_handshake(ssl_.get())).state;
}

std::uint32_t Channel::awaited() const {
    return ssl_ && SSL_want_read(ssl_.get()) ? EPOLLIN : EPOLLOUT;
}

Transfer Channel::receive(std::span<std::byte> into) {
    if (!ssl_) return bench::receive(fd_.get(), into);
    ERR_clear_error();
    return classify(SSL_read(ssl_.get(), into.data(), static_cast<int>(into.size())));
}

Transfer Channel::transmit(std::span<const std::byte> from) {
    if (!ssl_) return bench::transmit(fd_.get(), from);
    ERR_clear_error();
    return classify(SSL_write(ssl_.get(), from.data(), static_cast<int>(from.size())));
}

bool Channel::resumed() const { return ssl_ && SSL_session_reused(ssl_.get()) == 1; }

Transfer Channel::classify(int result) const {
    if (result > 0) return {Transfer::State::done, static_cast<std::size_t>(result)};
    switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ:
        case SSL_ERROR_WANT_WRITE: return {Transfer::State::would_block};
        case SSL_ERROR_ZERO_RETURN: return {Transfer::State::ended};
        default: return {Transfer::State::failed};
    }
}

}  // namespace penstock::bench
