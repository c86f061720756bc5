#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/error.hpp"
#include "net/poller.hpp"
#include "net/unique_fd.hpp"

namespace penstock::net {

/// A listening socket, and the unix path it has to remove.
class ListenSocket {
public:
    ListenSocket(UniqueFd fd, Endpoint bound) : fd_(std::move(fd)), bound_(std::move(bound)) {}

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] UniqueFd take_fd() noexcept { return std::move(fd_); }
    /// The address it is bound to, with the real port where 0 was asked for.
    [[nodiscard]] const Endpoint& bound() const noexcept { return bound_; }

private:
    UniqueFd fd_;
    Endpoint bound_;
};

/// All sockets of one bind address, one per worker. A unix socket cannot be cloned: it is alone.
struct ListenGroup {
    std::vector<ListenSocket> sockets;
    std::uint64_t unix_inode = 0;  // of the path that was created; 0 = not a path
    std::uint64_t unix_device = 0;
};

struct ListenError {
    std::error_code code;
    std::string message;  // a sentence that says what failed and what to do
};

/// Opens `count` SO_REUSEPORT sockets (after one exclusive trial bind, so that a second process on
/// the same port fails instead of sharing), not listening yet. `beside_own`: without that trial,
/// which sockets of this process on all addresses would make fail. For a unix path: a stale socket
/// file is replaced, anything else there is an error.
[[nodiscard]] std::expected<ListenGroup, ListenError> open_listen_group(const Endpoint& address,
                                                                        std::size_t count,
                                                                        bool beside_own = false);

/// Starts the queue; connections arrive from here on.
[[nodiscard]] std::expected<void, ListenError> start_listening(ListenGroup& group, int backlog);

/// The same length for the queue of a socket that listens already; what waits in it stays.
void set_backlog(int fd, int backlog) noexcept;

/// Removes the group's unix path if it is still the one that was created.
void remove_unix_path(const ListenGroup& group) noexcept;

/// The kernel's cap on every backlog (net.core.somaxconn); nothing if it cannot be read.
[[nodiscard]] std::optional<int> kernel_backlog_limit();

/// How accept4() failed, and so what to do: try again at once, wait for a descriptor or memory,
/// or wait for the next event.
enum class AcceptFailure : std::uint8_t { again, skip, exhausted, fatal };
[[nodiscard]] AcceptFailure classify_accept_error(int error) noexcept;

}  // namespace penstock::net
