#pragma once

#include <cstdint>
#include <expected>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "app/upgrade/messages.hpp"
#include "base/endpoint.hpp"
#include "config/interpolate.hpp"
#include "net/listen_socket.hpp"
#include "net/unique_fd.hpp"

namespace penstock::app {

/// Listening sockets that were open when this process started: systemd's (sd_listen_fds(3)), or
/// those of the process that it takes over from. Whoever binds asks here first.
class InheritedSockets {
public:
    /// The first descriptor that systemd passes on.
    static constexpr int first_fd = 3;

    InheritedSockets() = default;

    /// Sockets that a service manager passed to the process of this number: LISTEN_PID, LISTEN_FDS,
    /// LISTEN_FDNAMES; those meant for another process are none. From here on they are closed by an
    /// exec and do not block. The error is a sentence that names the descriptor.
    [[nodiscard]] static std::expected<InheritedSockets, std::string> from_service_manager(
        const config::Environment& environment, pid_t self);

    /// Sockets of the process that goes: `fds` in the order of `entries`, as many as they count.
    [[nodiscard]] std::expected<void, std::string> add(
        const std::vector<upgrade::SocketEntry>& entries, std::vector<net::UniqueFd> fds);

    /// What of an address makes sockets a listener's. Port 0 may stand for several listeners: ask
    /// for all of them in this order, lest one takes what is another's.
    enum class Claim : std::uint8_t {
        own,  // the same words of that listener
        address,  // bound to it
        any,  // the same words of any listener, otherwise bound to it
    };
    /// The sockets of a bind address as it is configured, one group for each address that they are
    /// bound to. `systemd:NAME` are all of that name, `fd:N` is that one descriptor; they have to
    /// be there, or it is an error, whatever the claim. Of any other address, there is one group or
    /// none. Each socket is taken once.
    [[nodiscard]] std::expected<std::vector<net::ListenGroup>, std::string> take(
        const std::string& bind, Claim claim = Claim::any, const std::string& listener = "");

    /// True for `systemd:NAME` and `fd:N`: nobody can open these anew.
    [[nodiscard]] static bool must_be_inherited(std::string_view bind) noexcept;
    /// The same, and it is that one.
    [[nodiscard]] static bool is_name_of(const net::PassedAs& socket, const std::string& bind);

    /// Those that nobody has taken, for a warning: `systemd:web (0.0.0.0:80)`. When they are
    /// closed, clients in their queues are lost.
    [[nodiscard]] std::vector<std::string> left_over() const;

    // A service manager holds its sockets open as long as it runs, and can pass them only once.
    // What no listener uses now is kept for one that will.

    /// Closes those of nobody else. What left_over() says of them.
    std::vector<std::string> close_own();
    /// These are left, if they are a service manager's: duplicates of them are there from now on.
    /// False: there is no descriptor left for one.
    bool keep(const net::ListenGroup& sockets, const std::vector<int>& fds);
    /// Such sockets have found a listener: these here are closed, and known as taken.
    void note_taken(const net::ListenGroup& sockets);
    /// The error is a sentence.
    [[nodiscard]] std::expected<InheritedSockets, std::string> duplicate() const;
    /// For the next process: an entry and a descriptor for each.
    void list(std::vector<upgrade::SocketEntry>& entries, std::vector<int>& fds) const;

private:
    struct Socket {
        std::string bind{};
        std::string listener{};  // "" = not known
        net::UniqueFd fd{};
        net::PassedAs passed_as{};
        Endpoint bound{};
        net::UnixFile path{};
    };
    using Groups = std::expected<std::vector<net::ListenGroup>, std::string>;

    /// Those that `wanted` says, grouped by their addresses.
    template <typename Predicate>
    [[nodiscard]] Groups take_if(const std::string& bind, Predicate wanted);
    [[nodiscard]] Groups take_address(const std::string& bind, Claim claim,
                                      const std::string& listener);
    [[nodiscard]] std::string refusal(const std::string& bind) const;
    void say_taken(const net::PassedAs& socket);

    std::vector<Socket> sockets_;
    std::set<std::string> taken_;  // binds of those that were taken
};

/// Removes what from_service_manager() reads from the environment of this process, so that no child
/// takes it for its own. Before there are other threads.
void forget_listen_variables() noexcept;

}  // namespace penstock::app
