#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "net/pipe_pool.hpp"
#include "net/poller.hpp"

namespace penstock::net {

enum class IoStatus : std::uint8_t { ok, want_read, want_write, eof, error };

struct IoResult {
    IoStatus status;
    std::uint32_t bytes = 0;
    [[nodiscard]] bool ok() const noexcept { return status == IoStatus::ok; }
};

/// A byte stream on latches. Only the model clears the latches, because only it knows what the
/// result of a call says about the next one.
template <typename S>
concept Stream = requires(S& s, std::span<std::byte> in, std::span<const std::byte> out) {
    { s.recv(in) } noexcept -> std::same_as<IoResult>;
    { s.send(out) } noexcept -> std::same_as<IoResult>;
    { s.shutdown_write() } noexcept -> std::same_as<IoResult>;
};

enum class SocketKind : std::uint8_t { tcp, unix_stream };

struct KeepaliveOptions {
    std::uint32_t idle_s;
    std::uint32_t interval_s;
    std::uint32_t probes;
};

/// The local address of a socket; empty if it has none.
[[nodiscard]] CompactEndpoint local_endpoint(int fd) noexcept;

/// A connected stream socket without TLS. Keeps the first error that any call reported: the kernel
/// tells each error once, and an end of stream after an error is still an error.
class Socket final : public Watch {
public:
    explicit Socket(HangupHandler& handler) noexcept { hangup_handler_ = &handler; }
    ~Socket() { close(); }

    /// Takes a connected (or connecting) descriptor; latches and flags start anew.
    void adopt(UniqueFd fd, SocketKind kind) noexcept;

    /// Takes the connection of `from`, which `poller` watches; both latches start as set. On error
    /// it is closed.
    [[nodiscard]] std::error_code take_over(Socket& from, Poller& poller) noexcept;

    IoResult recv(std::span<std::byte> into) noexcept;
    /// As recv(), but leaves the bytes in the queue; clears the latch only when it is empty.
    IoResult peek(std::span<std::byte> into) noexcept;
    /// Takes `size` bytes, which peek() has shown, out of the queue.
    IoResult discard(std::size_t size) noexcept;
    IoResult send(std::span<const std::byte> from) noexcept;
    IoResult shutdown_write() noexcept;

    /// Socket -> pipe, at most `most` bytes. want_read may mean an empty socket or a full pipe, eof
    /// an end or nothing: recv() must confirm both.
    IoResult splice_in(Pipe& pipe, std::size_t most = ~std::size_t{0}) noexcept;
    /// Pipe -> socket.
    IoResult splice_out(Pipe& pipe) noexcept;

    /// Asks the kernel for a pending error and keeps it. True if the socket ever failed.
    bool check_error() noexcept;
    [[nodiscard]] std::error_code error() const noexcept {
        return {first_error_, std::system_category()};
    }
    [[nodiscard]] bool failed() const noexcept { return first_error_ != 0; }

    /// Bytes sent but not acknowledged by the peer; 0 if unknown.
    [[nodiscard]] std::size_t unacknowledged() const noexcept;
    [[nodiscard]] bool is_tcp() const noexcept { return kind_ == SocketKind::tcp; }
    void set_keepalive(const KeepaliveOptions& options) noexcept;

    /// Closes with a FIN (after what is still queued), and wakes nobody.
    void close() noexcept;
    /// Closes with a FIN even if the peer has sent bytes that nobody read (a plain close would turn
    /// them into a reset).
    void finish() noexcept;
    /// Closes with a reset, throwing away what is queued; a unix socket just closes.
    void reset() noexcept;

private:
    IoResult failure(int error, IoStatus would_block) noexcept;
    IoResult end_of_stream() noexcept;
    [[nodiscard]] bool short_read_means_empty() const noexcept;

    std::int16_t first_error_ = 0;  // an errno; small, because every session has two sockets
    SocketKind kind_ = SocketKind::tcp;
};
static_assert(Stream<Socket>);

}  // namespace penstock::net
