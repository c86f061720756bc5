#pragma once

#include <cstdint>
#include <optional>

#include "tests/support/ledger.hpp"
#include "tests/support/socket.hpp"

namespace penstock::test {

enum class Role : std::uint8_t { client, backend };

/// What one side does with its connection, both directions at once.
struct Plan {
    enum class Then : std::uint8_t { nothing, finish, reset };

    std::uint64_t send = 0;          // bytes of its keyed stream
    Then after_send = Then::finish;  // once all of it was accepted by the kernel
    bool send_after_end = false;     // starts sending when the other side's FIN has come
    bool receive_after_send = false;  // reads nothing until everything was sent
    bool receive = true;
    std::optional<std::uint64_t> stop_at{};   // returns once so many bytes came
    std::optional<std::uint64_t> reset_at{};  // resets once so many bytes came
    std::size_t send_chunk = 65536;
    std::size_t receive_chunk = 65536;
    milliseconds receive_pause{0};  // after each read: a slow reader
    milliseconds deadline{60'000};  // scaled
};

/// Plays `plan` on a connected socket and books everything in the ledger. Returns true when the
/// plan came to its end (everything sent, and the end of the stream or `stop_at` reached); false
/// when the deadline passed or the connection failed before.
///
/// A client starts its stream with the id. A backend calls accept_id() first.
bool exchange(Socket& socket, const ConnectionId& id, Role role, Ledger& ledger, const Plan& plan);

/// A client through `proxy`: connects, books its address, plays the plan. The socket stays open in
/// `keep` if given, else it is closed. Without a connection the record keeps no client address.
ConnectionId run_client(const Address& proxy, Ledger& ledger, const Plan& plan,
                        const SocketOptions& options = {}, Socket* keep = nullptr);

/// Reads the id at the start of a connection to a backend; empty when the connection ended first.
/// The 16 bytes are booked as received by the backend side when `exchange` runs.
std::optional<ConnectionId> accept_id(Socket& socket, Ledger& ledger,
                                      milliseconds limit = patience);

}  // namespace penstock::test
