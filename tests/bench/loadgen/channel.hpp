#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "tests/bench/loadgen/sockets.hpp"

namespace penstock::bench {

template <auto Free>
struct FreeWith {
    template <typename T>
    void operator()(T* object) const {
        Free(object);
    }
};
using TlsSession = std::unique_ptr<SSL_SESSION, FreeWith<SSL_SESSION_free>>;

/// TLS 1.3 with TLS_AES_128_GCM_SHA256 and X25519, for a server whose certificate is `ca_file`.
/// Whoever measures must know what was agreed: it offers nothing else.
class TlsClient {
public:
    /// Throws std::runtime_error.
    explicit TlsClient(const std::string& ca_file);
    [[nodiscard]] SSL_CTX* context() const { return context_.get(); }

private:
    std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>> context_;
};

/// A client's connection, plain or TLS. Reading takes a whole record out of the kernel, so that a
/// level-triggered loop tells of whatever is left, if `into` has room for one.
class Channel {
public:
    Channel() = default;
    /// Plain without `tls`, which must outlive it. With a session it asks for that to be resumed.
    Channel(UniqueFd fd, const TlsClient* tls, const TlsSession& resume = nullptr);
    Channel(Channel&&) = default;
    Channel& operator=(Channel&& other) noexcept;
    ~Channel() { close(); }

    explicit operator bool() const { return static_cast<bool>(fd_); }
    [[nodiscard]] int fd() const { return fd_.get(); }
    /// Says goodbye where TLS asks for it.
    void close();

    /// Goes on with the handshake of a connection that TCP has established; done = it may be used.
    [[nodiscard]] Transfer::State establish();
    /// What establish() waits for, as an epoll mask.
    [[nodiscard]] std::uint32_t awaited() const;

    [[nodiscard]] Transfer receive(std::span<std::byte> into);
    /// Whoever would block offers the same bytes again.
    [[nodiscard]] Transfer transmit(std::span<const std::byte> from);

    /// The server has resumed the session that was offered.
    [[nodiscard]] bool resumed() const;
    /// The newest session that the server has given, in exchange for none; may be empty.
    [[nodiscard]] TlsSession take_session() { return std::move(*offered_); }

private:
    [[nodiscard]] Transfer classify(int result) const;

    UniqueFd fd_;
    std::unique_ptr<TlsSession> offered_ = std::make_unique<TlsSession>();  // OpenSSL knows where
    std::unique_ptr<SSL, FreeWith<SSL_free>> ssl_;
};

}  // namespace penstock::bench
