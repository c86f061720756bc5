#pragma once

#include <cstdint>

#include "net/socket.hpp"

struct bio_st;
struct ssl_st;

namespace penstock::net::tls {

/// What OpenSSL sees of a socket, and what we want to know of its doings.
struct Wire {
    /// So many messages that carry no data (new keys, tickets, refused renegotiations) may come in
    /// a row; each costs far more to handle than to send.
    static constexpr std::uint8_t max_idle_messages = 32;

    Socket* socket;
    std::uint8_t idle_messages = 0;  // since the last data
    std::uint8_t written_type = 0;  // content type of the last record written
    bool received = false;  // something, since the stream was starved
    bool ended = false;  // the socket has told of its end
    bool more_follows = false;  // at once: the kernel may wait for it before it sends

    [[nodiscard]] bool flooded() const noexcept { return idle_messages > max_idle_messages; }
};

/// A BIO that reads and writes the socket of `wire`, which must outlive it. It asks the socket only
/// while the latch is set, and fails once the wire is flooded. Throws std::bad_alloc.
[[nodiscard]] bio_st* make_bio(Wire& wire);

/// Keeps the counts of `wire`, which must outlive `ssl`.
void watch_messages(ssl_st* ssl, Wire& wire) noexcept;

}  // namespace penstock::net::tls
