#include "net/tls/stream.hpp"

#include <algorithm>
#include <climits>
#include <cstring>
#include <new>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/ssl3.h>

#include "base/clock.hpp"
#include "base/secret.hpp"
#include "net/tls/certificates.hpp"
#include "net/tls/client_setup.hpp"
#include "net/tls/context_state.hpp"
#include "net/tls/error.hpp"
#include "net/tls/server_rules.hpp"
#include "net/tls/settings.hpp"

namespace penstock::net::tls {

namespace {

constexpr std::size_t record_size = SSL3_RT_MAX_PLAIN_LENGTH;

// `owner`: for the callbacks, a client's stream or a server's notes.
SSL* make_session(SSL_CTX* context, Wire& wire, void* owner) {
    SSL* ssl = SSL_new(context);
    if (ssl == nullptr) throw std::bad_alloc();
    BIO* bio = make_bio(wire);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, owner);
    watch_messages(ssl, wire);
    return ssl;
}

int clamped(std::size_t size) noexcept {
    return static_cast<int>(std::min<std::size_t>(size, INT_MAX));
}

// What fits into one record: less than usual where the client has asked for it (RFC 6066).
std::size_t record_size_of(const SSL* ssl) noexcept {
    const SSL_SESSION* session = SSL_get_session(ssl);
    const auto asked = session == nullptr ? std::uint8_t{TLSEXT_max_fragment_length_DISABLED}
                                          : SSL_SESSION_get_max_fragment_length(session);
    if (asked < TLSEXT_max_fragment_length_512 || asked > TLSEXT_max_fragment_length_4096)
        return record_size;
    return std::size_t{512} << (asked - TLSEXT_max_fragment_length_512);
}

bool same_scope(SSL_SESSION* session, const std::string& scope) noexcept {
    unsigned int size = 0;
    const unsigned char* id = SSL_SESSION_get0_id_context(session, &size);
    return size == scope.size() && std::memcmp(id, scope.data(), size) == 0;
}

}  // namespace

ClientSession::~ClientSession() { SSL_SESSION_free(session_); }
ClientSession::ClientSession(ClientSession&& other) noexcept
    : session_(std::exchange(other.session_, nullptr)), end_(other.end_) {}
ClientSession& ClientSession::operator=(ClientSession&& other) noexcept {
    std::swap(session_, other.session_);
    std::swap(end_, other.end_);
    return *this;
}

Stream::Stream(const ServerContext& context, Socket& socket)
    : wire_{&socket}, ssl_(make_session(context.state_->context.get(), wire_, &notes_)) {
    SSL_set_accept_state(ssl_);
}

Stream::Stream(const ClientContext& context, Socket& socket, const std::string& verify_name,
               ClientSession* resume)
    : wire_{&socket}, ssl_(make_session(context.state_->context.get(), wire_, this)) {
    const SystemTime now = wall_now();
    notes_.session_end =
        std::min(now + context.state_->session_lifetime, context.state_->revocations_end);
    expect_server(ssl_, verify_name);
    // A resumed session is not verified again: it must be of the same trust and the same name.
    const std::string scope = session_scope({context.state_->session_scope, verify_name});
    SSL_set_session_id_context(ssl_, reinterpret_cast<const unsigned char*>(scope.data()),
                               static_cast<unsigned int>(scope.size()));
    if (resume == nullptr || !*resume) return;
    const ClientSession session = std::move(*resume);
    if (context.state_->reuses_sessions && same_scope(session.session_, scope) &&
        now < session.end_) {
        SSL_set_session(ssl_, session.session_);
        offered_.end_ = session.end_;
    }
}

Stream::~Stream() {
    // Else OpenSSL would hold that a session must not be resumed whose connection was reset.
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl_);
    ERR_clear_error();
}

int Stream::keep_session(ssl_st* ssl, ssl_session_st* session) noexcept {
    auto* stream = static_cast<Stream*>(SSL_get_app_data(ssl));
    if (stream == nullptr) return 0;
    SSL_SESSION_free(std::exchange(stream->offered_.session_, session));
    return 1;  // it is ours now
}

bool Stream::is_tls13() const noexcept { return SSL_version(ssl_) >= TLS1_3_VERSION; }

IoStatus Stream::failed(int result) noexcept {
    switch (SSL_get_error(ssl_, result)) {
        case SSL_ERROR_WANT_READ: return IoStatus::want_read;
        case SSL_ERROR_WANT_WRITE: return IoStatus::want_write;
        case SSL_ERROR_ZERO_RETURN: return IoStatus::eof;
        default: break;
    }
    Trouble trouble = take_trouble(ssl_);
    if (wire_.flooded()) {
        error_ = "too many messages without data";
    } else if (!trouble.text.empty()) {
        error_ = std::move(trouble.text);
    } else if (wire_.ended && !wire_.socket->failed()) {
        truncated_ = true;
        error_ = "the connection ended without close_notify";
    }
    failure_ = trouble.unknown_name                              ? Failure::unknown_name
               : trouble.certificate && SSL_is_server(ssl_) == 1 ? Failure::client_cert
                                                                 : Failure::failed;
    return IoStatus::error;
}

IoStatus Stream::handshake() noexcept {
    if (end_ != IoStatus::ok) return IoStatus::error;
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_);
    if (result == 1) return handshake_done();
    const IoStatus status = failed(result);
    if (status == IoStatus::want_read || status == IoStatus::want_write) return status;
    if (status == IoStatus::eof) {
        failure_ = Failure::failed;
        error_ = "the peer ended the connection during the handshake";
    }
    if (truncated_) error_ = "the peer ended the connection during the handshake";
    end_ = IoStatus::error;
    return end_;
}

// Who resumes a session proves nothing anew, so all that come of it end together.
void Stream::note_session_end() noexcept {
    const SSL_SESSION* session = SSL_get_session(ssl_);
    if (SSL_is_server(ssl_) == 1) {
        const long end = SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session);
        notes_.session_end = std::chrono::system_clock::from_time_t(end);
    } else if (!resumed()) {
        const auto* verified = SSL_get0_verified_chain(ssl_);
        const auto* chain = verified != nullptr ? verified : SSL_get_peer_cert_chain(ssl_);
        offered_.end_ = std::min(notes_.session_end, first_end(chain));
    }
}

IoStatus Stream::handshake_done() noexcept {
    wire_.idle_messages = 0;
    note_session_end();
    if (SSL_is_server(ssl_) == 1) {
        ticket_due_ = is_tls13() && rules_of(ssl_).sends_tickets;
    } else if (!is_tls13() && resumed() && !offered_) {
        // TLS 1.2 may use a session again and again.
        SSL_CTX* context = SSL_get_SSL_CTX(ssl_);
        if ((SSL_CTX_get_session_cache_mode(context) & SSL_SESS_CACHE_CLIENT) != 0)
            offered_.session_ = SSL_get1_session(ssl_);
    }
    return IoStatus::ok;
}

IoResult Stream::read_one(std::span<std::byte> into, bool peek) noexcept {
    for (;;) {
        ERR_clear_error();
        const int result = peek ? SSL_peek(ssl_, into.data(), clamped(into.size()))
                                : SSL_read(ssl_, into.data(), clamped(into.size()));
        if (result > 0) {
            wire_.idle_messages = 0;
            starved_ = false;
            return {IoStatus::ok, static_cast<std::uint32_t>(result)};
        }
        // Having sent close_notify, OpenSSL reports a message of the handshake (a late ticket) as
        // an error without a cause, and goes on with the next record.
        if (SSL_get_error(ssl_, result) == SSL_ERROR_SYSCALL && goodbye_sent_ && !wire_.ended &&
            !wire_.socket->failed() && !wire_.flooded() && ERR_peek_error() == 0) {
            if (++wire_.idle_messages <= Wire::max_idle_messages) continue;
        }
        const IoStatus status = failed(result);
        starved_ = status == IoStatus::want_read;
        wire_.received = false;
        if (status == IoStatus::eof || status == IoStatus::error) end_ = status;
        return {status};
    }
}

IoResult Stream::recv(std::span<std::byte> into) noexcept {
    if (end_ != IoStatus::ok) return {end_};
    std::uint32_t total = 0;
    while (total < into.size()) {
        const IoResult got = read_one(into.subspan(total), false);
        if (!got.ok()) return total > 0 ? IoResult{IoStatus::ok, total} : got;
        total += got.bytes;
        if (!may_read()) break;
    }
    return {IoStatus::ok, total};
}

IoResult Stream::peek(std::span<std::byte> into) noexcept {
    if (end_ != IoStatus::ok) return {end_};
    return read_one(into, true);
}

IoResult Stream::discard(std::size_t size) noexcept {
    std::byte sink[4096];
    const IoResult got = recv(std::span(sink).first(std::min(size, sizeof sink)));
    penstock::wipe(sink, got.bytes);
    return got;
}

// Not at the end of the handshake: a client that sends and closes without reading would answer the
// ticket with a reset, and what it had sent might be lost with it.
IoStatus Stream::send_ticket() noexcept {
    ERR_clear_error();
    if (SSL_in_init(ssl_) == 0 &&
        (SystemTime(wall_now()) >= notes_.session_end || SSL_new_session_ticket(ssl_) != 1)) {
        ERR_clear_error();
        ticket_due_ = false;
        return IoStatus::ok;
    }
    wire_.more_follows = true;  // the first data
    const int result = SSL_do_handshake(ssl_);
    wire_.more_follows = false;
    if (result != 1) return failed(result);
    SSL_free_buffers(ssl_);  // it has made one for reading, which would stay while nobody sends
    ticket_due_ = false;
    return IoStatus::ok;
}

// OpenSSL keeps a record that the socket did not take and wants exactly its bytes again, although
// it does not look at them any more. The caller may offer fewer now. Of what makes several records
// it would go on with the second one, and look: so it is given one at a time.
IoResult Stream::write_one(std::span<const std::byte> from) noexcept {
    const std::size_t size = blocked_ != 0 ? blocked_ : std::min(from.size(), record_size_of(ssl_));
    if (blocked_ == 0) wire_.written_type = 0;
    ERR_clear_error();
    wire_.more_follows = size < from.size();
    const int result = SSL_write(ssl_, from.data(), clamped(size));
    wire_.more_follows = false;
    if (result > 0) {
        blocked_ = 0;
        const auto written = static_cast<std::size_t>(result);
        const std::size_t told = std::min(written, from.size());
        ahead_ = static_cast<std::uint16_t>(written - told);
        return {IoStatus::ok, static_cast<std::uint32_t>(told)};
    }
    const IoStatus status = failed(result);
    const bool holds_it = wire_.written_type == SSL3_RT_APPLICATION_DATA;
    blocked_ = status == IoStatus::want_write && holds_it ? static_cast<std::uint16_t>(size) : 0;
    return {status == IoStatus::eof ? IoStatus::error : status};
}

IoResult Stream::send(std::span<const std::byte> from) noexcept {
    std::uint32_t total = 0;
    if (ahead_ > 0) {
        total = static_cast<std::uint32_t>(std::min<std::size_t>(ahead_, from.size()));
        ahead_ = static_cast<std::uint16_t>(ahead_ - total);
    }
    if (ticket_due_ && total < from.size())
        if (const IoStatus status = send_ticket(); status != IoStatus::ok) return {status};
    while (total < from.size()) {
        const IoResult sent = write_one(from.subspan(total));
        if (!sent.ok()) return total > 0 ? IoResult{IoStatus::ok, total} : sent;
        total += sent.bytes;
    }
    return {IoStatus::ok, total};
}

IoResult Stream::shutdown_write() noexcept {
    const bool sayable = SSL_is_init_finished(ssl_) == 1 && end_ != IoStatus::error;
    while (sayable && !goodbye_sent_) {
        ERR_clear_error();
        wire_.more_follows = true;  // the FIN
        const int result = SSL_shutdown(ssl_);
        wire_.more_follows = false;
        const int error = result < 0 ? SSL_get_error(ssl_, result) : SSL_ERROR_NONE;
        if (error == SSL_ERROR_WANT_WRITE) return {IoStatus::want_write};
        goodbye_sent_ = true;  // also when it cannot be sent: the peer will see
    }
    ERR_clear_error();
    return wire_.socket->shutdown_write();
}

bool Stream::may_read() const noexcept {
    if (end_ != IoStatus::ok || wire_.socket->readable.ready() || SSL_pending(ssl_) > 0)
        return true;
    return (!starved_ || wire_.received) && SSL_has_pending(ssl_) == 1;
}

bool Stream::has_pending() const noexcept { return SSL_has_pending(ssl_) == 1; }

void Stream::rebind(Socket& socket) noexcept { wire_.socket = &socket; }

std::string_view Stream::version() const noexcept { return SSL_get_version(ssl_); }

std::string_view Stream::cipher() const noexcept {
    const char* name = SSL_get_cipher_name(ssl_);
    return name == nullptr ? "" : name;
}

bool Stream::resumed() const noexcept { return SSL_session_reused(ssl_) == 1; }

std::string_view Stream::alpn() const noexcept {
    const unsigned char* protocol = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl_, &protocol, &size);
    return {reinterpret_cast<const char*>(protocol), size};
}

std::string Stream::peer_subject() const {
    X509* peer = SSL_get0_peer_certificate(ssl_);
    if (peer == nullptr) return {};
    std::string subject = subject_of(peer);
    if (subject.empty()) subject = first_name_of(peer);
    return subject.empty() ? "(no name)" : subject;
}

std::string Stream::peer_common_name() const {
    X509* peer = SSL_get0_peer_certificate(ssl_);
    return peer == nullptr ? "" : common_name_of(peer);
}

ClientSession Stream::take_session() noexcept {
    ClientSession taken;
    std::swap(taken.session_, offered_.session_);
    taken.end_ = offered_.end_;
    return taken;
}

}  // namespace penstock::net::tls
