#include "net/tls/bio.hpp"

#include <new>

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/ssl3.h>
#include <sys/socket.h>

namespace penstock::net::tls {

namespace {

Wire& wire_of(BIO* bio) noexcept { return *static_cast<Wire*>(BIO_get_data(bio)); }

int read_socket(BIO* bio, char* into, std::size_t size, std::size_t* done) noexcept {
    Wire& wire = wire_of(bio);
    BIO_clear_retry_flags(bio);
    *done = 0;
    if (wire.flooded()) return -1;
    if (!wire.socket->readable.ready()) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const auto got = wire.socket->recv({reinterpret_cast<std::byte*>(into), size});
    if (got.ok()) {
        wire.received = true;
        *done = got.bytes;
        return 1;
    }
    if (got.status == IoStatus::eof) {
        wire.ended = true;
        return 0;
    }
    if (got.status == IoStatus::want_read) BIO_set_retry_read(bio);
    return -1;
}

int write_socket(BIO* bio, const char* from, std::size_t size, std::size_t* done) noexcept {
    Wire& wire = wire_of(bio);
    BIO_clear_retry_flags(bio);
    *done = 0;
    if (!wire.socket->writable.ready()) {
        BIO_set_retry_write(bio);
        return -1;
    }
    if (wire.more_follows) {
        const auto sent = ::send(wire.socket->fd(), from, size, MSG_NOSIGNAL | MSG_MORE);
        if (sent > 0) {
            *done = static_cast<std::size_t>(sent);
            return 1;
        }
    }
    const auto sent = wire.socket->send({reinterpret_cast<const std::byte*>(from), size});
    if (sent.ok()) {
        *done = sent.bytes;
        return 1;
    }
    if (sent.status == IoStatus::want_write) BIO_set_retry_write(bio);
    return -1;
}

// An end of the stream is not told (BIO_CTRL_EOF): OpenSSL would make it a fatal error, and nothing
// could be sent any more.
long control_socket(BIO*, int command, long, void*) noexcept {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD* make_method() {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    if (method == nullptr) throw std::bad_alloc();
    BIO_meth_set_read_ex(method, read_socket);
    BIO_meth_set_write_ex(method, write_socket);
    BIO_meth_set_ctrl(method, control_socket);
    return method;
}

bool is_idle_message(bool written, int type, const unsigned char* bytes, std::size_t size) {
    if (written)
        return type == SSL3_RT_ALERT && size == 2 && bytes[0] == SSL3_AL_WARNING &&
               bytes[1] == SSL_AD_NO_RENEGOTIATION;
    return type == SSL3_RT_HANDSHAKE && size > 0 &&
           (bytes[0] == SSL3_MT_KEY_UPDATE || bytes[0] == SSL3_MT_NEWSESSION_TICKET);
}

void note_message(int written, int, int type, const void* buffer, std::size_t size, SSL*,
                  void* argument) noexcept {
    Wire& wire = *static_cast<Wire*>(argument);
    const auto* bytes = static_cast<const unsigned char*>(buffer);
    if (is_idle_message(written != 0, type, bytes, size) && !wire.flooded()) ++wire.idle_messages;
    // TLS 1.3 calls every record application data, and tells of the type inside afterwards.
    if (written != 0 && (type == SSL3_RT_HEADER || type == SSL3_RT_INNER_CONTENT_TYPE) && size > 0)
        wire.written_type = bytes[0];
}

}  // namespace

bio_st* make_bio(Wire& wire) {
    static BIO_METHOD* const method = make_method();  // for as long as the process lives
    BIO* bio = BIO_new(method);
    if (bio == nullptr) throw std::bad_alloc();
    BIO_set_data(bio, &wire);
    BIO_set_init(bio, 1);
    return bio;
}

void watch_messages(ssl_st* ssl, Wire& wire) noexcept {
    SSL_set_msg_callback(ssl, note_message);
    SSL_set_msg_callback_arg(ssl, &wire);
}

}  // namespace penstock::net::tls
