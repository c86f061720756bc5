#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/endpoint.hpp"
#include "metrics/cells.hpp"
#include "net/connect.hpp"
#include "proxy/source_book.hpp"

namespace penstock::proxy {

/// The local addresses that one worker connects from, to the backends of one upstream. It stays
/// with an address until that one has no port left for a backend, then goes on with the next one
/// of the same family. Backends of a family without addresses, and unix sockets, are connected to
/// as the kernel likes.
class SourceAddresses {
public:
    /// From which of the addresses a connection was made, for whoever has it to give back; small,
    /// because every session has one. Stays valid when the addresses change.
    using Place = std::uint16_t;
    static constexpr Place nowhere = 0;  // as the kernel chose

    /// Without any: the kernel chooses. Connections are counted in `book`, which outlives this.
    SourceAddresses(SourceBook& book, unsigned worker) noexcept : book_(&book), worker_(worker) {}

    /// From now on these. Workers begin at different ones, so that they do not all use up the same
    /// ports.
    void use(const std::vector<Endpoint>& addresses);

    /// As net::start_connect(). EADDRNOTAVAIL = no address has a port left; each time one has not
    /// is counted in `no_port`. `from` must be nowhere; a connection that was made is counted for
    /// its place until release().
    [[nodiscard]] Result<net::ConnectState> start_connect(net::Socket& socket, const Endpoint& to,
                                                          net::Poller& poller,
                                                          metrics::Counter& no_port,
                                                          Place& from) noexcept;
    /// The connection made from there was closed. Does nothing for nowhere, which it leaves.
    void release(Place& from) noexcept;

    // The choice alone.
    [[nodiscard]] std::size_t count(int family) const noexcept;
    /// Null if the family has none.
    [[nodiscard]] const Endpoint* current(int family) const noexcept;
    void go_on(int family) noexcept;

private:
    struct Source {
        Endpoint address;
        Place place;
    };
    struct Rotation {
        std::vector<Source> sources;
        std::size_t current = 0;
    };
    struct Known {
        Endpoint address;
        metrics::Gauge* open;
    };
    [[nodiscard]] const Source* current_source(int family) const noexcept;
    [[nodiscard]] const Rotation* rotation(int family) const noexcept;
    [[nodiscard]] Place place_of(const Endpoint& address);

    SourceBook* book_;
    unsigned worker_;
    std::array<Rotation, 2> rotations_;  // IPv4, IPv6
    std::vector<Known> known_;  // all that there ever were; a place is an index + 1
};

}  // namespace penstock::proxy
