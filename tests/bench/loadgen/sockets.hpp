#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "tests/support/unique_fd.hpp"

namespace penstock::bench {

using test::UniqueFd;

/// Where the load goes and from where it comes.
struct Target {
    sockaddr_in address{};
    /// Loopback addresses to connect from in turn (127.0.0.1, 127.0.0.2, ...), for more connections
    /// than one address has ephemeral ports; 1 = leave the choice to the kernel.
    unsigned sources = 1;
};

/// 127.0.0.1:port.
[[nodiscard]] sockaddr_in loopback(std::uint16_t port);

/// Raises the soft descriptor limit to the hard one.
void raise_descriptor_limit();

/// A non-blocking connection that is being established; empty with errno set when it failed at
/// once. `number` counts connections and picks the source address.
[[nodiscard]] UniqueFd start_connect(const Target& target, std::uint64_t number);

/// A non-blocking listener on 127.0.0.1. Throws std::system_error.
[[nodiscard]] UniqueFd listen_on(std::uint16_t port);

/// The port a socket is bound to.
[[nodiscard]] std::uint16_t local_port(int fd);

/// Result of one non-blocking read or write.
struct Transfer {
    enum class State { done, would_block, ended, failed } state;
    std::size_t bytes = 0;  ///< above 0 only with `done`
};
[[nodiscard]] Transfer receive(int fd, std::span<std::byte> into);
[[nodiscard]] Transfer transmit(int fd, std::span<const std::byte> from);

}  // namespace penstock::bench
