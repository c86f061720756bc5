#include "tests/support/tls_stream.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ostream>
#include <utility>

namespace penstock::test {

namespace {

struct SslFree {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
};
struct CertFree {
    void operator()(X509* cert) const { X509_free(cert); }
};

}  // namespace

struct TlsStream::State {
    std::unique_ptr<SSL, SslFree> ssl;
    std::optional<int> alert;
};

const char* name_of(TlsEnd end) {
    switch (end) {
        case TlsEnd::open: return "open";
        case TlsEnd::notified: return "close_notify";
        case TlsEnd::truncated: return "truncated";
        case TlsEnd::reset: return "RST";
        case TlsEnd::failed: return "failed";
    }
    return "?";
}

std::ostream& operator<<(std::ostream& out, TlsEnd end) { return out << name_of(end); }

int number_of(TlsVersion version) {
    switch (version) {
        case TlsVersion::any: return 0;
        case TlsVersion::tls10: return TLS1_VERSION;
        case TlsVersion::tls11: return TLS1_1_VERSION;
        case TlsVersion::tls12: return TLS1_2_VERSION;
        case TlsVersion::tls13: return TLS1_3_VERSION;
    }
    return 0;
}

std::string alpn_bytes(const std::vector<std::string>& names) {
    std::string bytes;
    for (const std::string& name : names) {
        bytes += static_cast<char>(name.size());
        bytes += name;
    }
    return bytes;
}

std::uint32_t TlsSession::max_early_data() const {
    return native ? SSL_SESSION_get_max_early_data(native.get()) : 0;
}

TlsStream::TlsStream(ssl_st* ssl) : state_(std::make_unique<State>()) {
    state_->ssl.reset(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_app_data(ssl, state_.get());
    SSL_set_info_callback(ssl, [](const SSL* about, int where, int value) {
        if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT) return;
        static_cast<State*>(SSL_get_app_data(about))->alert = value & 0xFF;
    });
}

TlsStream::TlsStream(TlsStream&&) noexcept = default;
TlsStream& TlsStream::operator=(TlsStream&&) noexcept = default;
TlsStream::~TlsStream() = default;

std::string TlsStream::take_output() {
    std::string bytes;
    std::array<char, 16384> buffer;
    BIO* out = SSL_get_wbio(native());
    while (BIO_ctrl_pending(out) > 0) {
        const int n = BIO_read(out, buffer.data(), static_cast<int>(buffer.size()));
        if (n <= 0) break;
        bytes.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return bytes;
}

bool TlsStream::flush(milliseconds limit) {
    held_ += take_output();
    if (corked_) return true;
    if (allowance_) {
        stalled_ = stalled_ || held_.size() > *allowance_;
        held_.resize(std::min(held_.size(), *allowance_));
        *allowance_ -= held_.size();
    }
    if (held_.empty()) return true;
    if (altered_ && altered_->first >= said_ && altered_->first - said_ < held_.size()) {
        char& byte = held_[altered_->first - said_];
        byte = static_cast<char>(static_cast<unsigned char>(byte) ^ altered_->second);
    }
    said_ += held_.size();
    return socket_.send(std::exchange(held_, {}), limit);
}

bool TlsStream::uncork() {
    corked_ = false;
    return flush(patience);
}

bool TlsStream::fill(milliseconds limit) {
    std::array<std::byte, 16384> buffer;
    const auto n = socket_.receive(buffer, limit);
    if (n > 0) {
        BIO_write(SSL_get_rbio(native()), buffer.data(), static_cast<int>(n));
        return true;
    }
    if (n == -ETIMEDOUT) {
        error_ = "nothing came in time";
        return false;
    }
    end_ = n == 0 ? TlsEnd::truncated : end_of(n) == End::reset ? TlsEnd::reset : TlsEnd::failed;
    error_ = name_of(end_);
    return false;
}

bool TlsStream::fail() {
    end_ = TlsEnd::failed;
    std::array<char, 256> text{};
    ERR_error_string_n(ERR_get_error(), text.data(), text.size());
    error_ = text.data();
    flush(patience);  // the alert
    return false;
}

void TlsStream::hear(std::string_view text) {
    constexpr std::size_t most = 4U << 20;
    heard_ += text.substr(0, most - std::min(most, heard_.size()));
}

std::string TlsStream::begin() {
    SSL_do_handshake(native());
    return take_output();
}

bool TlsStream::handshake(milliseconds limit) {
    const auto start = Clock::now();
    for (;;) {
        ERR_clear_error();
        const int result = SSL_do_handshake(native());
        if (result == 1) {
            established_ = true;
            return flush(limit);
        }
        if (SSL_get_error(native(), result) != SSL_ERROR_WANT_READ) return fail();
        flush(limit);  // a peer that is gone may have said why
        const auto left = limit - since(start) / time_scale;
        if (!fill(std::max(left, 0ms))) return false;
    }
}

bool TlsStream::send(std::string_view text, milliseconds limit) {
    while (!text.empty()) {
        ERR_clear_error();
        const std::size_t piece = std::min<std::size_t>(text.size(), 256 * 1024);
        const int n = SSL_write(native(), text.data(), static_cast<int>(piece));
        if (n <= 0) return fail();
        if (!flush(limit)) return false;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

std::string TlsStream::seal(std::string_view text) {
    SSL_write(native(), text.data(), static_cast<int>(text.size()));
    return take_output();
}

std::string TlsStream::receive_some(milliseconds limit) {
    std::string buffer(65536, '\0');
    const auto start = Clock::now();
    while (end_ == TlsEnd::open) {
        ERR_clear_error();
        const int n = SSL_read(native(), buffer.data(), static_cast<int>(buffer.size()));
        if (n > 0) {
            flush(limit);  // a KeyUpdate's answer
            buffer.resize(static_cast<std::size_t>(n));
            hear(buffer);
            return buffer;
        }
        const int error = SSL_get_error(native(), n);
        if (error == SSL_ERROR_ZERO_RETURN) {
            end_ = TlsEnd::notified;
        } else if (error != SSL_ERROR_WANT_READ) {
            fail();
        } else {
            flush(limit);
            const auto left = limit - since(start) / time_scale;
            if (!fill(std::max(left, 0ms))) break;
        }
    }
    return {};
}

std::string TlsStream::receive_text(std::size_t count, milliseconds limit) {
    std::string text(count, '\0');
    std::size_t done = 0;
    const auto start = Clock::now();
    while (done < count && end_ == TlsEnd::open) {
        ERR_clear_error();
        const std::size_t piece = std::min<std::size_t>(count - done, 1U << 20);
        const int n = SSL_read(native(), text.data() + done, static_cast<int>(piece));
        if (n > 0) {
            hear({text.data() + done, static_cast<std::size_t>(n)});
            done += static_cast<std::size_t>(n);
            continue;
        }
        const int error = SSL_get_error(native(), n);
        if (error == SSL_ERROR_ZERO_RETURN) {
            end_ = TlsEnd::notified;
        } else if (error != SSL_ERROR_WANT_READ) {
            fail();
        } else {
            flush(limit);
            const auto left = limit - since(start) / time_scale;
            if (left <= 0ms || !fill(left)) break;
        }
    }
    text.resize(done);
    return text;
}

TlsEnd TlsStream::wait_end(milliseconds limit, std::string* received) {
    const auto start = Clock::now();
    while (end_ == TlsEnd::open) {
        const auto left = limit - since(start) / time_scale;
        const std::string text = receive_some(std::max(left, 0ms));
        if (received) *received += text;
        if (text.empty()) break;
    }
    return end_;
}

void TlsStream::notify() {
    SSL_shutdown(native());
    flush(patience);
}

std::string TlsStream::seal_notify() {
    SSL_shutdown(native());
    return take_output();
}

std::optional<int> TlsStream::alert() const { return state_->alert; }
ssl_st* TlsStream::native() const { return state_->ssl.get(); }
std::string TlsStream::version() const { return SSL_get_version(native()); }
std::string TlsStream::cipher() const { return SSL_get_cipher_name(native()); }
bool TlsStream::resumed() const { return SSL_session_reused(native()) == 1; }

std::string TlsStream::alpn() const {
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(native(), &name, &size);
    return {name, name + size};
}

std::string TlsStream::server_name() const {
    const char* name = SSL_get_servername(native(), TLSEXT_NAMETYPE_host_name);
    return name ? name : "";
}

std::string TlsStream::peer_common_name() const {
    const std::unique_ptr<X509, CertFree> cert(SSL_get1_peer_certificate(native()));
    if (!cert) return {};
    std::array<char, 256> text{};
    const int n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert.get()), NID_commonName,
                                            text.data(), static_cast<int>(text.size()));
    return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : std::string{};
}

bool TlsStream::peer_key_is_rsa() const {
    const std::unique_ptr<X509, CertFree> cert(SSL_get1_peer_certificate(native()));
    return cert && EVP_PKEY_get_base_id(X509_get0_pubkey(cert.get())) == EVP_PKEY_RSA;
}

std::int64_t TlsStream::peer_serial() const {
    const std::unique_ptr<X509, CertFree> cert(SSL_get1_peer_certificate(native()));
    std::int64_t serial = 0;
    if (cert) ASN1_INTEGER_get_int64(&serial, X509_get0_serialNumber(cert.get()));
    return serial;
}

TlsSession TlsStream::session() const {
    SSL_SESSION* session = SSL_get1_session(native());
    if (session && SSL_SESSION_is_resumable(session) == 1)
        return {std::shared_ptr<SSL_SESSION>(session, SSL_SESSION_free)};
    SSL_SESSION_free(session);
    return {};
}

}  // namespace penstock::test
