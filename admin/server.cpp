#include "admin/server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <list>
#include <utility>

#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ssl/context.hpp>
#include <fmt/format.h>

#include "admin/connection.hpp"
#include "base/error.hpp"
#include "base/log_throttle.hpp"
#include "net/asio_words.hpp"
#include "net/listen_socket.hpp"
#include "net/socket.hpp"

namespace penstock::admin {

namespace asio = boost::asio;

namespace {

constexpr int backlog = 128;
constexpr Duration accept_pause = std::chrono::milliseconds(100);
constexpr Duration status_kept = std::chrono::milliseconds(500);
constexpr Duration denial_window = std::chrono::seconds(1);
constexpr std::uint32_t denials_per_window = 20;
constexpr Duration denial_log_pause = std::chrono::seconds(10);

using TlsPtr = std::shared_ptr<asio::ssl::context>;

// Null where there is none.
TlsPtr for_asio(const std::shared_ptr<const net::tls::OwnServerContext>& tls) {
    return tls ? std::make_shared<asio::ssl::context>(tls->share()) : nullptr;
}

struct Gate {
    Gate(asio::io_context& context, const Door& door, std::vector<std::string> allowed_hosts)
        : listener(door.listener),
          rules(door.listener, std::move(allowed_hosts), door.token),
          acceptor(context),
          pause(context),
          tls(for_asio(door.tls)) {}

    config::AdminListener listener;
    AccessRules rules;
    net::ListenGroup group;
    asio::basic_socket_acceptor<Protocol, Executor> acceptor;
    Timer pause;
    TlsPtr tls;
    bool started = false;
    bool closed = false;
};
using GatePtr = std::shared_ptr<Gate>;

std::expected<gid_t, std::string> find_group(const std::string& name) {
    std::array<char, 4096> memory;
    group entry{};
    group* found = nullptr;
    ::getgrnam_r(name.c_str(), &entry, memory.data(), memory.size(), &found);
    if (found == nullptr) return std::unexpected(fmt::format("there is no group '{}'", name));
    return found->gr_gid;
}

bool has_path(const Endpoint& address) noexcept {
    return address.is_unix() && !address.is_abstract();
}

std::expected<void, std::string> check_group(const config::AdminListener& listener) {
    if (!has_path(listener.bind.front()) || listener.socket_group.empty()) return {};
    if (auto owner = find_group(listener.socket_group); !owner)
        return std::unexpected(owner.error());
    return {};
}

// The mode comes last: a group that does not exist changes nothing. What is right already is left
// alone: this process may have given up the right to set it.
std::expected<void, std::string> set_owner(const Gate& gate, const std::string& path) {
    struct stat status{};
    const bool known = ::stat(path.c_str(), &status) == 0;
    if (!gate.listener.socket_group.empty()) {
        const auto owner = find_group(gate.listener.socket_group);
        if (!owner) return std::unexpected(owner.error());
        const bool right = known && status.st_gid == *owner;
        if (!right && ::chown(path.c_str(), static_cast<uid_t>(-1), *owner) != 0)
            return std::unexpected(fmt::format("cannot give {} to group {}: {}", path,
                                               gate.listener.socket_group, errno_name(errno)));
    }
    const bool right = known && (status.st_mode & 07777) == gate.listener.socket_mode;
    if (!right && ::chmod(path.c_str(), gate.listener.socket_mode) != 0)
        return std::unexpected(
            fmt::format("cannot set the mode of {}: {}", path, errno_name(errno)));
    return {};
}

Caller caller_of(int fd, bool over_unix) {
    Caller caller{.over_unix = over_unix};
    if (over_unix) {
        ucred credentials{};
        socklen_t length = sizeof credentials;
        if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0)
            caller.uid = fmt::format("uid {}", credentials.uid);
        else
            caller.uid = "unix";
        return caller;
    }
    sockaddr_storage raw;
    socklen_t length = sizeof raw;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&raw), &length) == 0)
        caller.peer = CompactEndpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&raw), length);
    caller.local = net::local_endpoint(fd);
    return caller;
}

}  // namespace

// Also if the making fails.
struct Making {
    bool& flag;
    ~Making() { flag = false; }
};

struct Server::Impl final : Host {
    Impl(asio::io_context& its_context, Api& its_api, Logger& its_log)
        : context(its_context), the_api(its_api), log(its_log), denial_log(denial_log_pause) {}

    std::expected<void, std::string> open(Gate& gate);
    std::expected<void, std::string> adopt(Gate& gate);
    std::expected<Endpoint, std::string> admit(const GatePtr& gate,
                                               std::expected<void, std::string> opened);
    asio::awaitable<void> accept(GatePtr gate);
    void let_in(const GatePtr& gate, Stream stream);
    void close(Gate& gate);
    [[nodiscard]] GatePtr find(const Endpoint& address) const;
    bool make_room(bool over_unix);

    Api& api() noexcept override { return the_api; }
    asio::awaitable<std::string> status_text() override;
    bool begin_stream() noexcept override { return streams < max_streams && ++streams > 0; }
    void end_stream() noexcept override { --streams; }
    bool note_denial(const Caller& caller) override;

    asio::io_context& context;
    Api& the_api;
    Logger& log;
    std::list<GatePtr> gates;
    struct Guest {
        std::shared_ptr<Connection> connection;
        GatePtr gate;  // it refers to its rules
    };
    std::list<Guest> connections;
    bool paths_stay = false;
    std::size_t streams = 0;
    std::string status;
    TimePoint status_made = TimePoint::min();
    bool making_status = false;
    TimePoint denials_since{};
    std::uint32_t denials = 0;
    LogThrottle denial_log;
    bool stopped = false;
};

std::expected<void, std::string> Server::Impl::open(Gate& gate) {
    const Endpoint& address = gate.listener.bind.front();
    auto group = net::open_listen_group(address, 1);
    if (!group) return std::unexpected(group.error().message);
    gate.group = *std::move(group);
    if (has_path(address))
        if (auto owned = set_owner(gate, address.path()); !owned) return owned;
    if (auto listening = net::start_listening(gate.group, backlog); !listening)
        return std::unexpected(listening.error().message);
    return adopt(gate);
}

std::expected<void, std::string> Server::Impl::adopt(Gate& gate) {
    boost::system::error_code error;
    gate.acceptor.assign(Protocol(gate.listener.bind.front().family(), 0),
                         gate.group.sockets.front().take_fd().release(), error);
    if (!error) gate.acceptor.non_blocking(true, error);
    if (error) return std::unexpected(error.message());
    return {};
}

asio::awaitable<void> Server::Impl::accept(GatePtr gate) {
    while (!gate->closed) {
        asio::basic_stream_socket<Protocol, Executor> socket(context);
        auto accepting = gate->acceptor.async_accept(socket, net::as_result);
        const auto [error] = co_await std::move(accepting);
        if (error && gate->closed) co_return;
        if (error) {  // descriptors or memory have run out
            gate->pause.expires_after(accept_pause);
            auto waiting = gate->pause.async_wait(net::as_result);
            co_await std::move(waiting);
            continue;
        }
        if (!make_room(gate->listener.bind.front().is_unix()))
            continue;  // everybody is busy: this one is closed
        let_in(gate, Stream(std::move(socket)));
    }
}

// Of those that only keep a connection, the one that does so longest gives way. A crowd over TCP
// does not take the places of the unix sockets.
bool Server::Impl::make_room(bool over_unix) {
    const auto counts = [&](const Guest& guest) {
        return over_unix || !guest.connection->over_unix();
    };
    const auto used = static_cast<std::size_t>(std::ranges::count_if(connections, counts));
    if (used < (over_unix ? max_connections : max_over_tcp)) return true;
    const auto longest = std::ranges::min_element(connections, {}, [&](const Guest& guest) {
        return counts(guest) ? guest.connection->waiting_since().value_or(TimePoint::max())
                             : TimePoint::max();
    });
    if (!counts(*longest) || !longest->connection->waiting_since()) return false;
    longest->connection->close();
    connections.erase(longest);
    return true;
}

void Server::Impl::let_in(const GatePtr& gate, Stream stream) {
    Caller caller =
        caller_of(stream.socket().native_handle(), gate->listener.bind.front().is_unix());
    if (!gate->rules.admits(caller)) return;
    const auto connection = std::make_shared<Connection>(std::move(stream), std::move(caller),
                                                         gate->rules, *this, gate->tls);
    connections.push_back({connection, gate});
    if (gate->closed) connection->finish_soon();  // it came in the last moment
    // One that gave way is in no list any more, and needs its gate nevertheless.
    asio::co_spawn(
        context, connection->serve(), [this, connection, gate](std::exception_ptr error) {
            std::erase_if(connections,
                          [&](const Guest& guest) { return guest.connection == connection; });
            if (!error) return;
            try {
                std::rethrow_exception(std::move(error));
            } catch (const std::exception& e) {  // costs this client its connection
                log.error("admin: a request failed: {}", e.what());
            }
        });
}

// One makes it for all; whoever comes meanwhile has the one before.
asio::awaitable<std::string> Server::Impl::status_text() {
    const TimePoint now = SteadyClock().now();
    const bool is_old = status.empty() || now - status_made >= status_kept;
    if (is_old && !std::exchange(making_status, true)) {
        const Making making{making_status};
        auto showing = the_api.status_text();
        status = co_await std::move(showing);
        status_made = now;
    }
    co_return status;
}

bool Server::Impl::note_denial(const Caller& caller) {
    const TimePoint now = SteadyClock().now();
    if (const auto left_out = denial_log.admit(now))
        log.warn(
            "admin: {} sent a request without the right token ({} more since the last message)",
            caller.over_unix ? caller.uid : caller.peer.to_string(), *left_out);
    if (now - denials_since >= denial_window) {
        denials_since = now;
        denials = 0;
    }
    return ++denials <= denials_per_window;
}

Server::Server(asio::io_context& context, Api& api, Logger& log)
    : impl_(std::make_unique<Impl>(context, api, log)) {}
Server::~Server() { stop(); }

void Server::Impl::close(Gate& gate) {
    if (std::exchange(gate.closed, true)) return;
    boost::system::error_code ignored;
    gate.acceptor.close(ignored);
    gate.pause.cancel();
    if (!paths_stay) net::remove_unix_path(gate.group);
    for (const auto& [connection, at] : connections)
        if (at.get() == &gate && !stopped) connection->finish_soon();
}

GatePtr Server::Impl::find(const Endpoint& address) const {
    const auto found = std::ranges::find_if(
        gates, [&](const GatePtr& gate) { return gate->listener.bind.front() == address; });
    return found == gates.end() ? nullptr : *found;
}

std::expected<Endpoint, std::string> Server::Impl::admit(const GatePtr& gate,
                                                         std::expected<void, std::string> opened) {
    if (!opened) {
        net::remove_unix_path(gate->group);
        return std::unexpected(fmt::format(
            "admin listener {}: {}", gate->listener.bind.front().to_string(), opened.error()));
    }
    gates.push_back(gate);
    return gate->group.sockets.front().bound();
}

std::expected<Endpoint, std::string> Server::open(const Door& door,
                                                  const std::vector<std::string>& allowed_hosts) {
    const auto gate = std::make_shared<Gate>(impl_->context, door, allowed_hosts);
    return impl_->admit(gate, impl_->open(*gate));
}

std::expected<Endpoint, std::string> Server::open(const Door& door,
                                                  const std::vector<std::string>& allowed_hosts,
                                                  net::ListenGroup inherited) {
    const auto gate = std::make_shared<Gate>(impl_->context, door, allowed_hosts);
    gate->group = std::move(inherited);
    gate->group.path_stays = true;
    auto usable = check_group(door.listener);
    return impl_->admit(gate, usable ? impl_->adopt(*gate) : std::move(usable));
}

void Server::start() {
    for (const GatePtr& gate : impl_->gates) {
        if (std::exchange(gate->started, true)) continue;
        asio::co_spawn(impl_->context, impl_->accept(gate), net::rethrow_failure);
    }
}

void Server::withdraw() {
    std::erase_if(impl_->gates, [this](const GatePtr& gate) {
        if (gate->started) return false;
        impl_->close(*gate);
        return true;
    });
}

std::expected<void, std::string> Server::check(const Door& door) {
    const Endpoint& address = door.listener.bind.front();
    if (auto group = check_group(door.listener); !group)
        return std::unexpected(
            fmt::format("admin listener {}: {}", address.to_string(), group.error()));
    return {};
}

std::expected<void, std::string> Server::configure(const Door& door,
                                                   const std::vector<std::string>& allowed_hosts) {
    const GatePtr gate = impl_->find(door.listener.bind.front());
    if (!gate) return {};
    const auto before = std::exchange(gate->listener, door.listener);
    const Endpoint& address = door.listener.bind.front();
    const bool other_owner = before.socket_mode != door.listener.socket_mode ||
                             before.socket_group != door.listener.socket_group;
    if (other_owner && has_path(address))
        if (auto owned = set_owner(*gate, address.path()); !owned) {
            gate->listener = before;
            return owned;
        }
    gate->tls = for_asio(door.tls);
    gate->rules = AccessRules(door.listener, allowed_hosts, door.token);
    return {};
}

void Server::close(const Endpoint& address) {
    const GatePtr gate = impl_->find(address);
    if (!gate) return;
    impl_->close(*gate);
    std::erase(impl_->gates, gate);
}

void Server::stop() {
    if (std::exchange(impl_->stopped, true)) return;
    for (const GatePtr& gate : impl_->gates) impl_->close(*gate);
    for (const auto& [connection, gate] : impl_->connections) connection->finish();
}

void Server::close_all() {
    for (const auto& [connection, gate] : impl_->connections) connection->close();
}

void Server::own_paths() {
    for (const GatePtr& gate : impl_->gates) {
        if (!std::exchange(gate->group.path_stays, false)) continue;
        const Endpoint& address = gate->listener.bind.front();
        if (!has_path(address)) continue;
        if (auto owned = set_owner(*gate, address.path()); !owned)
            impl_->log.error("admin listener {}: {}; its owner stays as before",
                             address.to_string(), owned.error());
    }
}

void Server::let_go() {
    impl_->paths_stay = true;
    for (const GatePtr& gate : impl_->gates) {
        // Asio's close() would leave the descriptor in its epoll set: another process holds it.
        if (gate->acceptor.is_open()) ::close(gate->acceptor.release());
        impl_->close(*gate);
    }
    impl_->gates.clear();
}

std::vector<Server::Listening> Server::listening() const {
    std::vector<Listening> all;
    for (const GatePtr& gate : impl_->gates)
        all.push_back({gate->listener.bind.front(), gate->acceptor.native_handle(),
                       gate->group.unix_device, gate->group.unix_inode});
    return all;
}

std::vector<Endpoint> Server::bound() const {
    std::vector<Endpoint> addresses;
    for (const GatePtr& gate : impl_->gates)
        addresses.push_back(gate->group.sockets.front().bound());
    return addresses;
}

bool Server::idle() const noexcept { return impl_->connections.empty(); }

void Server::set_token(const Endpoint& address, std::string token) {
    if (const GatePtr gate = impl_->find(address)) gate->rules.set_token(std::move(token));
}

void Server::set_tls(const Endpoint& address,
                     const std::shared_ptr<const net::tls::OwnServerContext>& context) {
    if (const GatePtr gate = impl_->find(address)) gate->tls = for_asio(context);
}

}  // namespace penstock::admin
