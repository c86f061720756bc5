#include "app/listening_sockets.hpp"

#include <algorithm>
#include <array>
#include <map>
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

// Of all listeners by the first, then of all by the next.
constexpr std::array claims{InheritedSockets::Claim::own, InheritedSockets::Claim::address,
                            InheritedSockets::Claim::any};

bool is_claimed(const ListeningSockets::Group& group, InheritedSockets::Claim claim,
                const std::string& listener, const std::string& bind) {
    using Claim = InheritedSockets::Claim;
    if (claim == Claim::address) return group.sockets.sockets.front().bound().to_string() == bind;
    return (group.bind == bind || InheritedSockets::is_name_of(group.sockets.passed_as, bind)) &&
           (claim == Claim::any || group.listener == listener);
}

bool has(const ListeningSockets::Wanted& wanted, const std::string& listener,
         const std::string& bind) {
    return std::ranges::any_of(wanted.groups, [&](const ListeningSockets::Group& group) {
        return group.listener == listener && group.bind == bind;
    });
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
    using Claim = InheritedSockets::Claim;
    std::vector<bool> claimed(groups_.size());
    for (const Claim claim : claims)
        for (const auto& listener : config.listeners)
            for (const auto& bind : listener.bind) {
                const std::string name = bind.to_string();
                // Port 0 and systemd's names may stand for several.
                if (claim != Claim::own && has(wanted, listener.name, name)) continue;
                for (std::size_t i = 0; i < groups_.size(); ++i) {
                    const Group& group = groups_[i];
                    if (claimed[i] || !is_claimed(group, claim, listener.name, name)) continue;
                    claimed[i] = true;
                    wanted.groups.push_back({listener.name, name, {}});
                    wanted.kept.push_back(i);
                    if (!bind.inherited()) break;
                }
            }
}

std::vector<ListeningSockets::Missing> ListeningSockets::missing_of(const config::Config& config,
                                                                    const Wanted& wanted) {
    std::vector<Missing> missing;
    for (const auto& listener : config.listeners) {
        std::map<std::string, std::ptrdiff_t> asked;  // port 0 may be there several times
        for (const auto& bind : listener.bind) {
            const std::string name = bind.to_string();
            const auto kept = std::ranges::count_if(wanted.groups, [&](const Group& group) {
                return group.listener == listener.name && group.bind == name;
            });
            const auto needed = bind.inherited() ? 1 : ++asked[name];
            if (kept < needed) missing.push_back({&listener, &bind});
        }
    }
    return missing;
}

std::expected<ListeningSockets::Wanted, std::string> ListeningSockets::open(
    const config::Config& config, InheritedSockets* inherited) const {
    Wanted wanted;
    keep_present(config, wanted);
    auto missing = missing_of(config, wanted);
    auto spare = spare_.duplicate();
    if (!spare) return std::unexpected(spare.error());
    auto done = inherit(missing, inherited != nullptr ? *inherited : *spare, wanted);
    for (const auto& one : missing) {
        if (!done) break;
        if (!one.found) done = open(one, wanted);
    }
    if (!done) {
        withdraw(wanted);
        return std::unexpected(done.error());
    }
    put_in_order(config, wanted);
    return wanted;
}

ListeningSockets::Opened ListeningSockets::open(const Missing& one, Wanted& wanted) const {
    const bool beside_own = std::ranges::any_of(groups_, [&](const Group& group) {
        return overlap(group.sockets.sockets.front().bound(), one.bind->address);
    });
    auto opened = net::open_listen_group(one.bind->address, workers_, beside_own);
    if (!opened)
        return std::unexpected(
            fmt::format("listener {}: {}", one.listener->name, opened.error().message));
    wanted.groups.push_back({one.listener->name, one.bind->to_string(), *std::move(opened)});
    wanted.kept.push_back(Wanted::npos);
    return {};
}

ListeningSockets::Opened ListeningSockets::inherit(std::vector<Missing>& missing,
                                                   InheritedSockets& inherited,
                                                   Wanted& wanted) const {
    for (const auto claim : claims)
        for (auto& one : missing) {
            if (one.found) continue;
            if (auto taken = inherit(one, inherited, claim, wanted); !taken) return taken;
        }
    return {};
}

// They listen already; those that are missing for the workers are opened.
ListeningSockets::Opened ListeningSockets::inherit(Missing& one, InheritedSockets& inherited,
                                                   InheritedSockets::Claim claim,
                                                   Wanted& wanted) const {
    const std::string& listener = one.listener->name;
    const std::string bind = one.bind->to_string();
    auto groups = inherited.take(bind, claim, listener);
    if (!groups) return std::unexpected(fmt::format("listener {}: {}", listener, groups.error()));
    for (auto& group : *groups) {
        if (auto grown = net::grow_listen_group(group, workers_); !grown)
            wanted.warnings.push_back(
                fmt::format("listener {}: {}; its workers share fewer sockets", listener,
                            grown.error().message));
        group.path_stays = true;
        wanted.groups.push_back({listener, bind, std::move(group)});
        wanted.kept.push_back(Wanted::npos);
        one.found = true;
    }
    return {};
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

std::vector<std::string> ListeningSockets::adopt(Wanted wanted, const config::Config& config) {
    std::vector<Group> next;
    for (std::size_t i = 0; i < wanted.groups.size(); ++i) {
        Group& group = wanted.groups[i];
        if (wanted.kept[i] != Wanted::npos) {
            Group& present = groups_[wanted.kept[i]];
            present.listener = group.listener;
            present.bind = group.bind;
            for (const int fd : present.fds)
                net::set_backlog(
                    fd,
                    static_cast<int>(config.listeners[place_of(config, group.listener)].backlog));
            next.push_back(std::move(present));
            present.sockets = {};
            continue;
        }
        for (const auto& socket : group.sockets.sockets) group.fds.push_back(socket.fd());
        spare_.note_taken(group.sockets);
        next.push_back(std::move(group));
    }
    std::vector<std::string> sentences;
    for (const Group& left : groups_)
        if (!left.sockets.sockets.empty()) leave(left, sentences);
    groups_ = std::move(next);
    return sentences;
}

void ListeningSockets::leave(const Group& group, std::vector<std::string>& sentences) {
    net::remove_unix_path(group.sockets);
    const auto& name = group.sockets.passed_as.name;
    if (name.empty()) return;
    sentences.push_back(
        fmt::format("listener {}: the service manager holds its socket {} ({}) open: who connects "
                    "there waits until a listener uses it again; stop its socket unit to turn "
                    "clients away",
                    group.listener, name, group.sockets.sockets.front().bound().to_string()));
    if (!spare_.keep(group.sockets, group.fds))
        sentences.push_back(
            fmt::format("listener {}: no descriptor is left to keep that socket for a listener to "
                        "come, which needs a restart now",
                        group.listener));
}

void ListeningSockets::keep_spare(InheritedSockets sockets) { spare_ = std::move(sockets); }

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

void ListeningSockets::forget(Paths paths) {
    if (paths == Paths::removed)
        for (const Group& group : groups_) net::remove_unix_path(group.sockets);
    groups_.clear();
    spare_ = {};
}

}  // namespace penstock::app
