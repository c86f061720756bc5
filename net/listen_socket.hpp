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

/// What a service manager calls a socket that it has opened, and holds open.
struct PassedAs {
    std::string name{};  // `systemd:web`; "" = it has not
    int number = 0;
};

/// All sockets of one bind address, one per worker. A unix socket cannot be cloned: it is alone.
struct ListenGroup {
    std::vector<ListenSocket> sockets;
    std::uint64_t unix_inode = 0;  // of the path that was created; 0 = not a path
    std::uint64_t unix_device = 0;
    bool path_stays = false;  // another process may go on with it: the path is not removed
    PassedAs passed_as{};
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

/// Where a unix path is, in the file system: what was created, and nothing that took its place.
struct UnixFile {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;  // 0 = none
};

/// What a descriptor is that another process has opened.
struct InheritedSocket {
    int family = 0;
    Endpoint bound{};
};
/// Only a listening stream socket, TCP or unix, will do. The error is half a sentence, without the
/// number: `is no socket`.
[[nodiscard]] std::expected<InheritedSocket, std::string> inspect_listen_socket(int fd);

/// A group of sockets that another process has opened, bound and set listening, at least one; all
/// have the same address. `path`: the file that this process has to remove in the end; without it
/// a path is somebody else's. The socket's options are set as those of our own sockets are.
[[nodiscard]] std::expected<ListenGroup, ListenError> adopt_listen_group(std::vector<UniqueFd> fds,
                                                                         const UnixFile& path);

/// Opens what is missing to `count` sockets, not listening yet, where the group's sockets share
/// their port (SO_REUSEPORT); others stay as they are. What is there is never closed: its queue
/// would be lost. After an error the group is as before, and of use.
[[nodiscard]] std::expected<void, ListenError> grow_listen_group(ListenGroup& group,
                                                                 std::size_t count);

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
