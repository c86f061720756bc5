#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>

#include "tests/support/deadline.hpp"
#include "tests/support/unique_fd.hpp"

namespace penstock::test {

/// An IPv4, IPv6 or unix address; text form as in the proxy's configuration and log.
class Address {
public:
    Address() = default;
    /// "127.0.0.1:80", "[::1]:80", "unix:/path", "unix:@abstract". Throws std::invalid_argument.
    static Address parse(std::string_view text);
    static Address local_of(int fd);
    static Address peer_of(int fd);

    [[nodiscard]] std::string text() const;
    [[nodiscard]] std::uint16_t port() const;
    [[nodiscard]] bool is_unix() const { return storage_.ss_family == AF_UNIX; }
    [[nodiscard]] int family() const { return storage_.ss_family; }
    [[nodiscard]] const sockaddr* data() const;
    [[nodiscard]] socklen_t size() const { return size_; }

private:
    sockaddr_storage storage_{};
    socklen_t size_ = 0;
};

struct SocketOptions {
    std::string source{};  // local address to bind, "127.0.0.7:0"; empty = any
    int receive_buffer = 0;  // SO_RCVBUF, 0 = the system's
    int send_buffer = 0;  // SO_SNDBUF
    bool no_delay = false;
};

/// How a peer saw the connection end.
enum class End : std::uint8_t { open, fin, reset, failed };
[[nodiscard]] const char* name_of(End end);
std::ostream& operator<<(std::ostream& out, End end);

/// One connected stream socket, non-blocking, with deadlines on every wait (scaled). One user at a
/// time. The kernel reports an error once, to whichever call comes first; this class keeps it, so
/// that a reset never looks like an end of stream afterwards.
class Socket {
public:
    Socket() = default;
    explicit Socket(UniqueFd fd);

    /// errno on failure; ETIMEDOUT when `limit` passed. A connection that was accepted and reset
    /// before this call returned is a success: the reset is what the next call on the socket
    /// reports.
    static std::expected<Socket, int> connect(const Address& to, const SocketOptions& options = {},
                                              milliseconds limit = patience);

    /// True when every byte went into the socket before the deadline.
    bool send(std::span<const std::byte> bytes, milliseconds limit = patience);
    bool send(std::string_view text, milliseconds limit = patience);

    /// One try without waiting: bytes written, or -errno (-EAGAIN: full).
    std::ptrdiff_t try_send(std::span<const std::byte> bytes);
    /// One try without waiting: bytes (> 0), 0 for FIN, or -errno (-EAGAIN: nothing there).
    std::ptrdiff_t try_receive(std::span<std::byte> into);

    /// One read: the bytes (> 0), 0 for FIN, -errno; -ETIMEDOUT when nothing came.
    std::ptrdiff_t receive(std::span<std::byte> into, milliseconds limit = patience);
    /// Reads until exactly `count` bytes came; shorter when the stream ended or the time was over.
    std::string receive_text(std::size_t count, milliseconds limit = patience);
    /// Discards data until the connection ends; End::open when the time was over.
    End wait_end(milliseconds limit = patience, std::uint64_t* discarded = nullptr);

    void finish();  // FIN, reading goes on
    void reset();  // RST and close
    void close() { fd_.close(); }

    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] Address local() const { return Address::local_of(fd_.get()); }

private:
    UniqueFd fd_;
    int error_ = 0;  // the first one
};

/// End of stream as a peer's `receive` result tells it.
[[nodiscard]] End end_of(std::ptrdiff_t received);

/// Waits for readiness (poll flags); false when the deadline, given as a time, has passed.
bool wait_ready(int fd, short flags, Clock::time_point until);

/// A listening socket; throws std::system_error.
UniqueFd listen_on(const Address& at, int backlog = 1024);

/// A port of 127.0.0.1 that nothing listens on while the returned socket lives (bound, not
/// listening): connections to it are refused.
struct ClosedPort {
    ClosedPort();
    UniqueFd holder;
    Address address;
};

}  // namespace penstock::test
