#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "app/inherited_sockets.hpp"
#include "config/config.hpp"
#include "net/listen_socket.hpp"
#include "net/tcp_info.hpp"
#include "proxy/worker_update.hpp"

namespace penstock::app {

/// All listening sockets of the process. They belong to the addresses they are bound to, not to the
/// listeners that use them: what the configuration says changes their listener, never the socket,
/// whose queue would be lost. Workers own the descriptors; this is the book about them. Control
/// thread.
class ListeningSockets {
public:
    /// The sockets of one bind address of one listener.
    struct Group {
        std::string listener;
        std::string bind;  // as the configuration has it
        net::ListenGroup sockets;  // their descriptors are the workers' from update_for() on
        std::vector<int> fds{};
        bool fresh = true;  // no worker has them yet
    };

    explicit ListeningSockets(std::size_t workers) : workers_(workers) {}

    /// What `config` wants: sockets that are there already are kept, also for another listener, the
    /// others are opened. Nothing changes until adopt(). The error is a sentence for the user, and
    /// leaves nothing behind.
    struct Wanted {
        std::vector<Group> groups{};  // fresh ones; of kept ones only the names
        std::vector<std::size_t> kept{};  // place among the present groups, or npos
        std::vector<std::string> warnings{};
        static constexpr std::size_t npos = static_cast<std::size_t>(-1);
    };
    /// `inherited`: sockets from outside, which are taken before any is opened; null = those that
    /// are spare.
    [[nodiscard]] std::expected<Wanted, std::string> open(
        const config::Config& config, InheritedSockets* inherited = nullptr) const;
    /// Fresh ones listen from now on: clients queue up. As open() on failure.
    [[nodiscard]] static std::expected<void, std::string> listen(Wanted& wanted,
                                                                 const config::Config& config);
    /// From now on. Those that nobody wants any more are left out; the workers close them with
    /// their next update, and paths of unix sockets are removed here. Those of a service manager
    /// are spare from now on: a sentence for the log about each.
    std::vector<std::string> adopt(Wanted wanted, const config::Config& config);
    /// Of a service manager, and used by no listener yet.
    void keep_spare(InheritedSockets sockets);
    [[nodiscard]] const InheritedSockets& spare() const noexcept { return spare_; }

    /// What worker `worker` has, fresh sockets included, for its update.
    [[nodiscard]] std::vector<proxy::WorkerUpdate::Socket> update_for(std::size_t worker,
                                                                      const config::Config& config);
    /// Every worker has had its update.
    void settle();
    /// The process that inherited sockets came from has let them go.
    void own_paths() noexcept;

    /// Clients that the kernel holds for the listener; nothing of unix sockets.
    [[nodiscard]] net::AcceptQueueInfo queue(const std::string& listener) const noexcept;
    [[nodiscard]] const std::vector<Group>& groups() const noexcept { return groups_; }
    /// The real addresses of a listener.
    [[nodiscard]] std::vector<Endpoint> bound(const std::string& listener) const;
    /// The workers have closed them, or another process has taken them over: nothing is known of
    /// them any more. `paths`: of unix sockets.
    enum class Paths : std::uint8_t { removed, left };
    void forget(Paths paths);
    /// Opened for nothing: closes what no worker has, and removes paths.
    static void withdraw(const Wanted& wanted) noexcept;

private:
    /// As the configuration has them: so they are shown.
    static void put_in_order(const config::Config& config, Wanted& wanted);
    /// One bind of one listener that needs sockets.
    struct Missing {
        const config::Listener* listener;
        const config::Bind* bind;
        bool found = false;
    };
    using Opened = std::expected<void, std::string>;  // the error is the user's

    /// Which of the present groups stay; those that stay where they are have the first claim.
    void keep_present(const config::Config& config, Wanted& wanted) const;
    /// The binds that keep_present() has found nothing for.
    [[nodiscard]] static std::vector<Missing> missing_of(const config::Config& config,
                                                         const Wanted& wanted);
    [[nodiscard]] Opened inherit(std::vector<Missing>& missing, InheritedSockets& inherited,
                                 Wanted& wanted) const;
    [[nodiscard]] Opened inherit(Missing& one, InheritedSockets& inherited,
                                 InheritedSockets::Claim claim, Wanted& wanted) const;
    [[nodiscard]] Opened open(const Missing& one, Wanted& wanted) const;
    void leave(const Group& group, std::vector<std::string>& sentences);

    std::size_t workers_;
    std::vector<Group> groups_;
    InheritedSockets spare_;
};

}  // namespace penstock::app
