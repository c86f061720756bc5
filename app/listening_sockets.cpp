#include "app/listening_sockets.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::app {

namespace {

// While the old one is still there the new one can be bound beside it, as both are this process's.
bool overlap(const Endpoint& a, const Endpoint& b) noexcept {
    if (a.is_unix() || b.is_unix() || a.family() != b.family() || a.port() != b.port()) return false;
    return a.is_any_address() || b.is_any_address();
}

std::size_t place_of(const config::Config& config, const std::string& listener) {
    const auto found = std::ranges::find(config.listeners, listener, &config::Listener::name);
    return static_cast<std::size_t>(found - config.listeners.begin());
}

}  // namespace

// The same listener's first: with port 0 the address alone says little.
std::size_t ListeningSockets::find_present(const std::string& listener, const std::string& bind,
                                           const std::vector<bool>& claimed) const noexcept {
    std::size_t found = Wanted::npos;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
        if (claimed[i] || groups_[i].bind != bind) continue;
        if (groups_[i].listener == listener) return i;
        if (found == Wanted::npos) found = i;
    }
    return found;
}

std::expected<ListeningSockets::Wanted, std::string> ListeningSockets::open(
    const config::Config& config) const {
    Wanted wanted;
    std::vector<bool> claimed(groups_.size());
    // Those that stay where they are have the first claim.
    for (const bool own_only : {true, false}) {
        std::size_t place = 0;
        for (const auto& listener : config.listeners)
            for (const auto& named : listener.bind) {
                const std::string bind = named.to_string();
                if (own_only) {
                    wanted.groups.push_back({listener.name, bind, {}, {}});
                    wanted.kept.push_back(Wanted::npos);
                }
                const std::size_t at = place++;
                if (wanted.kept[at] != Wanted::npos) continue;
                const std::size_t present = find_present(listener.name, bind, claimed);
                if (present == Wanted::npos) continue;
                if (own_only && groups_[present].listener != listener.name) continue;
                wanted.kept[at] = present;
                claimed[present] = true;
            }
    }
    std::size_t place = 0;
    for (const auto& listener : config.listeners)
        for (const auto& bind : listener.bind) {
            const std::size_t at = place++;
            if (wanted.kept[at] != Wanted::npos) continue;
            const Endpoint& address = bind.address;
            const bool beside_own = std::ranges::any_of(groups_, [&](const Group& group) {
                return overlap(group.sockets.sockets.front().bound(), address);
            });
            auto opened = net::open_listen_group(address, workers_, beside_own);
            if (!opened) {
                withdraw(wanted);
                return std::unexpected(
                    fmt::format("listener {}: {}", listener.name, opened.error().message));
            }
            wanted.groups[at].sockets = *std::move(opened);
        }
    return wanted;
}

std::expected<void, std::string> ListeningSockets::listen(Wanted& wanted,
                                                          const config::Config& config) {
    for (Group& group : wanted.groups) {
        if (group.sockets.sockets.empty()) continue;
        const auto backlog = config.listeners[place_of(config, group.listener)].backlog;
        const auto listening = net::start_listening(group.sockets, static_cast<int>(backlog));
        if (listening) continue;
        withdraw(wanted);
        return std::unexpected(
            fmt::format("listener {}: {}", group.listener, listening.error().message));
    }
    return {};
}

void ListeningSockets::withdraw(const Wanted& wanted) noexcept {
    for (const Group& group : wanted.groups)
        if (!group.sockets.sockets.empty()) net::remove_unix_path(group.sockets);
}

void ListeningSockets::adopt(Wanted wanted, const config::Config& config) {
    std::vector<Group> next;
    for (std::size_t i = 0; i < wanted.groups.size(); ++i) {
        Group& group = wanted.groups[i];
        if (wanted.kept[i] != Wanted::npos) {
            Group& present = groups_[wanted.kept[i]];
            present.listener = group.listener;
            for (const int fd : present.fds)
                net::set_backlog(fd, static_cast<int>(
                                         config.listeners[place_of(config, group.listener)].backlog));
            next.push_back(std::move(present));
            present.sockets = {};
            continue;
        }
        for (const auto& socket : group.sockets.sockets) group.fds.push_back(socket.fd());
        next.push_back(std::move(group));
    }
    for (const Group& left : groups_)
        if (!left.sockets.sockets.empty()) net::remove_unix_path(left.sockets);
    groups_ = std::move(next);
}

std::vector<proxy::WorkerUpdate::Socket> ListeningSockets::update_for(
    std::size_t worker, const config::Config& config) {
    std::vector<proxy::WorkerUpdate::Socket> sockets;
    for (Group& group : groups_) {
        const std::size_t listener = place_of(config, group.listener);
        for (std::size_t i = 0; i < group.fds.size(); ++i) {
            if (i % workers_ != worker) continue;
            sockets.push_back({group.fds[i], listener, {}});
            if (group.fresh) sockets.back().fresh = group.sockets.sockets[i].take_fd();
        }
    }
    return sockets;
}

void ListeningSockets::settle() {
    for (Group& group : groups_) group.fresh = false;
}

net::AcceptQueueInfo ListeningSockets::queue(const std::string& listener) const noexcept {
    net::AcceptQueueInfo sum{0, 0};
    for (const Group& group : groups_) {
        if (group.listener != listener || group.fresh) continue;
        for (const int fd : group.fds)
            if (const auto queue = net::accept_queue(fd)) {
                sum.length += queue->length;
                sum.limit += queue->limit;
            }
    }
    return sum;
}

std::vector<Endpoint> ListeningSockets::bound(const std::string& listener) const {
    std::vector<Endpoint> addresses;
    for (const Group& group : groups_)
        if (group.listener == listener)
            addresses.push_back(group.sockets.sockets.front().bound());
    return addresses;
}

void ListeningSockets::forget(bool remove_paths) {
    if (remove_paths)
        for (const Group& group : groups_) net::remove_unix_path(group.sockets);
    groups_.clear();
}

}  // namespace penstock::app
