#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

// OpenSSL's own names; its headers stay inside net/.
struct ssl_ctx_st;
struct ssl_st;
struct bio_st;

namespace penstock::net::tls {

class ClientContext;

/// What connections to TLS servers have in common: TLS 1.2 or later, and whoever answers is
/// believed, so it proves that a handshake completes and nothing about who is there. Built once;
/// it may go before the connections made with it.
class UnverifiedContext {
public:
    /// Throws std::runtime_error when OpenSSL cannot be set up.
    UnverifiedContext();
    ~UnverifiedContext();
    UnverifiedContext(const UnverifiedContext&) = delete;
    UnverifiedContext& operator=(const UnverifiedContext&) = delete;

private:
    friend class MemoryClient;
    ssl_ctx_st* context_;
};

/// The client's half of one TLS connection, without a socket: the owner carries the bytes. After
/// every call take_output() may have something for the server. One thread.
class MemoryClient {
public:
    enum class Status : std::uint8_t {
        ok,
        needs_input,  // feed() what comes from the server, then try again
        ended,        // the server has said that nothing more comes
        failed,       // error() says why; the connection is of no further use
    };
    struct Step {
        Status status;
        std::size_t bytes = 0;
    };

    /// `server_name`: for SNI, a host name; "" = send none. Throws std::bad_alloc.
    MemoryClient(const UnverifiedContext& context, const std::string& server_name);
    /// Verifies as traffic does: see Stream. `verify_name`: a host name, sent as SNI too, or
    /// an IP address; "" = any name. Throws std::bad_alloc.
    MemoryClient(const ClientContext& context, const std::string& verify_name);
    ~MemoryClient();
    MemoryClient(const MemoryClient&) = delete;
    MemoryClient& operator=(const MemoryClient&) = delete;

    [[nodiscard]] Step handshake();
    /// After the handshake. Writing takes all of `bytes`.
    [[nodiscard]] Step read(std::span<char> into);
    [[nodiscard]] Step write(std::string_view bytes);
    /// Tells the server that nothing more comes.
    void say_goodbye();

    /// Keeps a copy until it is needed.
    void feed(std::string_view from_server);
    /// What is to be sent now, in order; "" = nothing.
    [[nodiscard]] std::string take_output();

    /// OpenSSL's words: `wrong version number`, `certificate has expired (a.example)`.
    [[nodiscard]] const std::string& error() const noexcept { return error_; }
    /// `TLSv1.3`, once the handshake is done.
    [[nodiscard]] std::string_view protocol() const noexcept;

private:
    explicit MemoryClient(ssl_ctx_st* context);
    Step outcome(int result);

    ssl_st* session_;
    bio_st* from_server_;  // the session owns both
    bio_st* to_server_;
    std::string error_;
};

}  // namespace penstock::net::tls
