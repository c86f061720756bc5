#pragma once

#include <netinet/in.h>

#include <cstdint>

#include "tests/support/unique_fd.hpp"

/// What the three textbook relays share. They exist only to be measured against: one connection per
/// thread, per process, and one poll(2) loop for all.
namespace penstock::bench {

using test::UniqueFd;

struct BaselinePorts {
    std::uint16_t listen = 0;
    std::uint16_t backend = 0;
};

/// Reads "LISTEN_PORT BACKEND_PORT"; ends the program with status 2 on anything else.
[[nodiscard]] BaselinePorts parse_baseline_ports(int argc, char** argv);

/// A blocking listener on 127.0.0.1 that accepts with TCP_NODELAY; ends the program on failure.
[[nodiscard]] UniqueFd baseline_listener(std::uint16_t port);

/// A blocking connection to 127.0.0.1:port with TCP_NODELAY; empty on failure.
[[nodiscard]] UniqueFd baseline_connect(std::uint16_t port);

/// Relays both ways until both directions have ended or one has failed. Blocks; sockets may be
/// blocking. A FIN on one side becomes a FIN on the other.
void relay_until_closed(UniqueFd client, UniqueFd backend);

}  // namespace penstock::bench
