#pragma once

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "net/poller.hpp"
#include "net/socket.hpp"

namespace penstock::net {

enum class ConnectState : std::uint8_t { connected, in_progress };

/// Opens a non-blocking socket, starts connecting it and registers it with `poller` (connect()
/// first: an unconnected socket in epoll reports a hang-up). While in progress, wait for
/// `writable`, then call finish_connect(). A unix socket connects or fails at once; EAGAIN there
/// means that the listener's backlog is full, and no event will tell when it is not. On error the
/// socket is closed. `source`: the local address, of the same family, its port is not used; null =
/// the kernel chooses. EADDRNOTAVAIL = no port is left (or the machine has no such address).
[[nodiscard]] Result<ConnectState> start_connect(Socket& socket, const Endpoint& to, Poller& poller,
                                                 const Endpoint* source = nullptr) noexcept;

/// The outcome of a connect in progress, once `writable` was set; an error closes the socket.
[[nodiscard]] std::error_code finish_connect(Socket& socket) noexcept;

}  // namespace penstock::net
