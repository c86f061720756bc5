#include "app/listening_sockets.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::app {

namespace {

// While the old one is still there the new one can be bound beside it, as both are this process's.
bool overlap(const Endpoint& a, const Endpoint& b) noexcept {
    if (a.is_unix() || b.is_unix() || a.family() != b.family() || a.port() != b.port())
        return false;
    return a.is_any_address() || b.is_any_address();
}

std::size_t place_of(const config::Config& config, const std::string& listener) {
    const auto found = std::ranges::find(config.listeners, listener, &config::Listener::name);
    return static_cast<std::size_t>(found - config.listeners.begin());
}

}  // namespace

void ListeningSockets::put_in_order(const config::Config& config, Wanted& wanted) {
    Wanted ordered{.warnings = std::move(wanted.warnings)};
    for (const auto& listener : config.listeners)
        for (const auto& bind : listener.bind)
            for (std::size_t i = 0; i < wanted.groups.size(); ++i) {
                Group& group = wanted.groups[i];
                if (group.listener != listener.name || group.bind != bind.to_string()) continue;
                ordered.groups.push_back(std::move(group));
                ordered.kept.push_back(wanted.kept[i]);
                group.listener.clear();  // it has its place
            }
    wanted = std::move(ordered);
}

void ListeningSockets::keep_present(const config::Config& config, Wanted& wanted) const {
    std::vector<bool> claimed(groups_.size());
    for (const bool own_only : {true, false})
        for (const auto& listener : config.listeners)
            for (const auto& bind : listener.bind) {
                const std::string name = bind.to_string();
                const auto settled = std::ranges::find_if(wanted.groups, [&](const Group& group) {
                    return group.listener == listener.name && group.bind == name;
                });
                // Port 0 and systemd's names may stand for several.
                if (!own_only && settled != wanted.groups.end()) continue;
                for (std::size_t i = 0; i < groups_.size(); ++i) {
                    const Group& group = groups_[i];
                    if (claimed[i] || group.bind != name) continue;
                    if (own_only && group.listener != listener.name) continue;
                    claimed[i] = true;
                    wanted.groups.push_back({listener.name, name, {}});
                    wanted.kept.push_back(i);
                    if (!bind.inherited()) break;
                }
            }
}

std::expected<ListeningSockets::Wanted, std::string> ListeningSockets::open(
    const config::Config& config, InheritedSockets* inherited) const {
    Wanted wanted;
    keep_present(config, wanted);
    const std::size_t kept = wanted.groups.size();
    for (const auto& listener : config.listeners)
        for (const auto& bind : listener.bind) {
            const auto end = wanted.groups.begin() + static_cast<std::ptrdiff_t>(kept);
            const bool present = std::any_of(wanted.groups.begin(), end, [&](const Group& group) {
                return group.listener == listener.name && group.bind == bind.to_string();
            });
            if (present) continue;
            if (auto opened = open_bind(listener, bind, inherited, wanted); !opened) {
                withdraw(wanted);
                return std::unexpected(
                    fmt::format("listener {}: {}", listener.name, opened.error()));
            }
        }
    put_in_order(config, wanted);
    return wanted;
}

std::expected<void, std::string> ListeningSockets::open_bind(const config::Listener& listener,
                                                             const config::Bind& bind,
                                                             InheritedSockets* inherited,
                                                             Wanted& wanted) const {
    InheritedSockets none;
    const auto taken =
        inherit(listener.name, bind, inherited != nullptr ? *inherited : none, wanted);
    if (!taken) return std::unexpected(taken.error());
    if (*taken) return {};
    const bool beside_own = std::ranges::any_of(groups_, [&](const Group& group) {
        return overlap(group.sockets.sockets.front().bound(), bind.address);
    });
    auto opened = net::open_listen_group(bind.address, workers_, beside_own);
    if (!opened) return std::unexpected(opened.error().message);
    wanted.groups.push_back({listener.name, bind.to_string(), *std::move(opened)});
    wanted.kept.push_back(Wanted::npos);
    return {};
}

// True: there were some. They listen already; those that are missing for the workers are opened.
std::expected<bool, std::string> ListeningSockets::inherit(const std::string& listener,
                                                           const config::Bind& bind,
                                                           InheritedSockets& inherited,
                                                           Wanted& wanted) const {
    auto groups = inherited.take(bind.to_string());
    if (!groups) return std::unexpected(groups.error());
    for (auto& group : *groups) {
        if (auto grown = net::grow_listen_group(group, workers_); !grown)
            wanted.warnings.push_back(
                fmt::format("listener {}: {}; its workers share fewer sockets", listener,
                            grown.error().message));
        group.path_stays = true;
        wanted.groups.push_back({listener, bind.to_string(), std::move(group)});
        wanted.kept.push_back(Wanted::npos);
    }
    return !groups->empty();
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
                net::set_backlog(
                    fd,
                    static_cast<int>(config.listeners[place_of(config, group.listener)].backlog));
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

void ListeningSockets::own_paths() noexcept {
    for (Group& group : groups_) group.sockets.path_stays = false;
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
        if (group.listener == listener) addresses.push_back(group.sockets.sockets.front().bound());
    return addresses;
}

void ListeningSockets::forget(bool remove_paths) {
    if (remove_paths)
        for (const Group& group : groups_) net::remove_unix_path(group.sockets);
    groups_.clear();
}

}  // namespace penstock::app
