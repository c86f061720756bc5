#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "net/socket.hpp"
#include "net/tls/bio.hpp"
#include "net/tls/context.hpp"

struct ssl_st;
struct ssl_session_st;

namespace penstock::net::tls {

/// What a server's stream and OpenSSL's callbacks tell each other; a client's needs the first only.
struct ServerNotes {
    // Of the session that the handshake has made or resumed; a client's: no session that it makes
    // anew counts longer.
    SystemTime session_end{};
    std::string server_name{};  // normalized
};

/// A session that a server may resume; kept by whoever connects again.
class ClientSession {
public:
    ClientSession() = default;
    ~ClientSession();
    ClientSession(ClientSession&& other) noexcept;
    ClientSession& operator=(ClientSession&& other) noexcept;
    [[nodiscard]] explicit operator bool() const noexcept { return session_ != nullptr; }

private:
    friend class Stream;
    ssl_session_st* session_ = nullptr;
    SystemTime end_{};  // what the server has proved to make it counts until then
};

/// Why a handshake failed, for the reason of the session's end.
enum class Failure : std::uint8_t {
    none,
    failed,  // anything else: protocol, ciphers, the peer went away
    client_cert,  // the client's certificate: missing, not trusted, revoked, not allowed
    unknown_name,  // strict_sni
};

/// TLS over a connected Socket: models Stream on the socket's latches, which stay the only thing to
/// wait for. OpenSSL reads and writes the socket itself, without buffers in between; an idle
/// stream holds no record buffer, but some 13 KB of OpenSSL's (7.6 KB are its SSL object; a test
/// has the bound). One worker; the socket must outlive it.
class Stream {
public:
    /// Accepts a client.
    Stream(const ServerContext& context, Socket& socket);
    /// Connects to a server. `verify_name`: a host name or an IP address that its certificate must
    /// bear; host names are sent as SNI. `resume`: may be empty; consumed (TLS 1.3 uses a ticket
    /// once). Throws std::bad_alloc.
    Stream(const ClientContext& context, Socket& socket, const std::string& verify_name,
           ClientSession* resume);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    /// ok = done; want_*: wait for that latch of the socket and call again; error: failure() and
    /// error_text() say why, and an alert has been sent if there is one. eof never.
    [[nodiscard]] IoStatus handshake() noexcept;

    IoResult recv(std::span<std::byte> into) noexcept;
    IoResult peek(std::span<std::byte> into) noexcept;
    IoResult discard(std::size_t size) noexcept;
    /// May take a part of it. After want_* the next call must offer the same bytes first.
    IoResult send(std::span<const std::byte> from) noexcept;
    /// Sends close_notify, then a FIN. want_write: wait and call again.
    IoResult shutdown_write() noexcept;

    /// Calls of recv() have a chance: decrypted bytes may be there although the socket has nothing.
    [[nodiscard]] bool may_read() const noexcept;

    /// Bytes that were taken from the socket already.
    [[nodiscard]] bool has_pending() const noexcept;
    [[nodiscard]] Socket& socket() noexcept { return *wire_.socket; }
    /// The connection belongs to another socket from now on.
    void rebind(Socket& socket) noexcept;

    [[nodiscard]] Failure failure() const noexcept { return failure_; }
    /// OpenSSL's words, `certificate has expired (a.example)`; "" = no error of TLS.
    [[nodiscard]] std::string_view error_text() const noexcept { return error_; }
    /// The peer ended its stream without close_notify.
    [[nodiscard]] bool truncated() const noexcept { return truncated_; }

    // After the handshake.
    [[nodiscard]] std::string_view version() const noexcept;  // TLSv1.3
    [[nodiscard]] std::string_view cipher() const noexcept;  // TLS_AES_128_GCM_SHA256
    [[nodiscard]] bool resumed() const noexcept;
    [[nodiscard]] std::string_view alpn() const noexcept;  // chosen; "" = none
    /// What a client asks for, as net::normalized_server_name() has it; "" = none. From the hello
    /// of this connection, whose handshake may have failed.
    [[nodiscard]] const std::string& server_name() const noexcept { return notes_.server_name; }
    /// The peer's certificate: its subject (`CN=a,O=b`), its common name. "" = none.
    [[nodiscard]] std::string peer_subject() const;
    [[nodiscard]] std::string peer_common_name() const;
    /// What the server has offered to resume since the last call; empty if nothing.
    [[nodiscard]] ClientSession take_session() noexcept;

private:
    friend class ClientContext;
    static int keep_session(ssl_st* ssl, ssl_session_st* session) noexcept;
    void note_session_end() noexcept;

    IoStatus failed(int result) noexcept;
    IoStatus handshake_done() noexcept;
    IoResult read_one(std::span<std::byte> into, bool peek) noexcept;
    IoStatus send_ticket() noexcept;
    IoResult write_one(std::span<const std::byte> from) noexcept;
    [[nodiscard]] bool is_tls13() const noexcept;

    Wire wire_;
    ssl_st* ssl_ = nullptr;
    std::string error_;
    ClientSession offered_;
    ServerNotes notes_;
    std::uint16_t blocked_ =
        0;  // size of the record that OpenSSL holds and the socket did not take
    std::uint16_t ahead_ = 0;  // sent already, of bytes that the caller will offer again
    IoStatus end_ = IoStatus::ok;  // eof or error: how reading has ended
    Failure failure_ = Failure::none;
    bool truncated_ = false;
    bool ticket_due_ = false;  // of TLS 1.3: goes with the first bytes to the client
    bool starved_ = false;  // what OpenSSL holds is a part of a record
    bool goodbye_sent_ = false;  // close_notify
};

}  // namespace penstock::net::tls
