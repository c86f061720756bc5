#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "base/endpoint.hpp"
#include "metrics/cells.hpp"
#include "net/connect.hpp"

namespace penstock::proxy {

/// The local addresses that one worker connects from, to the backends of one upstream. It stays
/// with an address until that one has no port left for a backend, then goes on with the next one
/// of the same family. Backends of a family without addresses, and unix sockets, are connected to
/// as the kernel likes.
class SourceAddresses {
public:
    /// The kernel chooses.
    SourceAddresses() = default;
    /// `start`: workers begin at different ones, so that they do not all use up the same ports.
    SourceAddresses(const std::vector<Endpoint>& addresses, std::size_t start);

    /// As net::start_connect(). EADDRNOTAVAIL = no address has a port left; each time one has not
    /// is counted in `no_port`.
    [[nodiscard]] Result<net::ConnectState> start_connect(net::Socket& socket, const Endpoint& to,
                                                          net::Poller& poller,
                                                          metrics::Counter& no_port) noexcept;

    // The choice alone.
    [[nodiscard]] std::size_t count(int family) const noexcept;
    /// Null if the family has none.
    [[nodiscard]] const Endpoint* current(int family) const noexcept;
    void go_on(int family) noexcept;

private:
    struct Rotation {
        std::vector<Endpoint> addresses;
        std::size_t current = 0;
    };
    [[nodiscard]] const Rotation* rotation(int family) const noexcept;

    std::array<Rotation, 2> rotations_;  // IPv4, IPv6
};

}  // namespace penstock::proxy
