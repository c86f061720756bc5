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

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/ssl/context.hpp>
#include <fmt/format.h>

#include "admin/connection.hpp"
#include "base/error.hpp"
#include "base/log_throttle.hpp"
#include "net/listen_socket.hpp"
#include "net/socket.hpp"

namespace penstock::admin {

namespace asio = boost::asio;

namespace {

constexpr auto as_result = asio::as_tuple(asio::deferred);
constexpr int backlog = 128;
constexpr Duration accept_pause = std::chrono::milliseconds(100);
constexpr Duration status_kept = std::chrono::milliseconds(500);
constexpr Duration denial_window = std::chrono::seconds(1);
constexpr std::uint32_t denials_per_window = 20;
constexpr Duration denial_log_pause = std::chrono::seconds(10);

struct Gate {
    Gate(asio::io_context& context, const Door& door, std::vector<std::string> allowed_hosts)
        : listener(door.listener),
          rules(door.listener, std::move(allowed_hosts), door.token),
          acceptor(context),
          pause(context) {}

    config::AdminListener listener;
    AccessRules rules;
    net::ListenGroup group;
    asio::basic_socket_acceptor<Protocol, Executor> acceptor;
    Timer pause;
    std::optional<asio::ssl::context> tls;
};

std::expected<void, std::string> set_owner(const Gate& gate, const std::string& path) {
    if (::chmod(path.c_str(), gate.listener.socket_mode) != 0)
        return std::unexpected(
            fmt::format("cannot set the mode of {}: {}", path, errno_name(errno)));
    if (gate.listener.socket_group.empty()) return {};
    std::array<char, 4096> memory;
    group entry{};
    group* found = nullptr;
    ::getgrnam_r(gate.listener.socket_group.c_str(), &entry, memory.data(), memory.size(), &found);
    if (found == nullptr)
        return std::unexpected(fmt::format("there is no group '{}'", gate.listener.socket_group));
    if (::chown(path.c_str(), static_cast<uid_t>(-1), found->gr_gid) != 0)
        return std::unexpected(fmt::format("cannot give {} to group {}: {}", path,
                                           gate.listener.socket_group, errno_name(errno)));
    return {};
}

std::expected<void, std::string> load_certificate(Gate& gate) {
    const auto& tls = gate.listener.tls;
    if (tls.certificate.empty()) return {};
    try {
        auto& context = gate.tls.emplace(asio::ssl::context::tls_server);
        context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                            asio::ssl::context::no_tlsv1_1);
        context.use_certificate_chain_file(tls.certificate);
        context.use_private_key_file(tls.key, asio::ssl::context::pem);
    } catch (const boost::system::system_error& error) {
        return std::unexpected(fmt::format("certificate {} or key {}: {}", tls.certificate, tls.key,
                                           error.code().message()));
    }
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

struct Server::Impl final : Host {
    Impl(asio::io_context& its_context, Api& its_api, Logger& its_log)
        : context(its_context), the_api(its_api), log(its_log), denial_log(denial_log_pause) {}

    std::expected<void, std::string> open(Gate& gate);
    asio::awaitable<void> accept(Gate& gate);
    void let_in(Gate& gate, Stream stream);
    bool make_room(bool over_unix);

    Api& api() noexcept override { return the_api; }
    std::string status_text() override;
    bool begin_stream() noexcept override { return streams < max_streams && ++streams > 0; }
    void end_stream() noexcept override { --streams; }
    bool note_denial(const Caller& caller) override;

    asio::io_context& context;
    Api& the_api;
    Logger& log;
    std::list<Gate> gates;
    std::list<std::shared_ptr<Connection>> connections;
    std::size_t streams = 0;
    std::string status;
    TimePoint status_made = TimePoint::min();
    TimePoint denials_since{};
    std::uint32_t denials = 0;
    LogThrottle denial_log;
    bool stopped = false;
};

std::expected<void, std::string> Server::Impl::open(Gate& gate) {
    const Endpoint& address = gate.listener.bind.front();
    if (auto loaded = load_certificate(gate); !loaded) return loaded;
    auto group = net::open_listen_group(address, 1);
    if (!group) return std::unexpected(group.error().message);
    gate.group = *std::move(group);
    if (address.is_unix() && !address.is_abstract())
        if (auto owned = set_owner(gate, address.path()); !owned) return owned;
    if (auto listening = net::start_listening(gate.group, backlog); !listening)
        return std::unexpected(listening.error().message);
    boost::system::error_code error;
    gate.acceptor.assign(Protocol(address.family(), 0),
                         gate.group.sockets.front().take_fd().release(), error);
    if (!error) gate.acceptor.non_blocking(true, error);
    if (error) return std::unexpected(error.message());
    return {};
}

asio::awaitable<void> Server::Impl::accept(Gate& gate) {
    while (!stopped) {
        asio::basic_stream_socket<Protocol, Executor> socket(context);
        auto accepting = gate.acceptor.async_accept(socket, as_result);
        const auto [error] = co_await std::move(accepting);
        if (stopped) co_return;
        if (error) {  // descriptors or memory have run out
            gate.pause.expires_after(
                std::chrono::duration_cast<std::chrono::steady_clock::duration>(accept_pause));
            auto waiting = gate.pause.async_wait(as_result);
            co_await std::move(waiting);
            continue;
        }
        if (!make_room(gate.listener.bind.front().is_unix()))
            continue;  // everybody is busy: this one is closed
        let_in(gate, Stream(std::move(socket)));
    }
}

// Of those that only keep a connection, the one that does so longest gives way. A crowd over TCP
// does not take the places of the unix sockets.
bool Server::Impl::make_room(bool over_unix) {
    const auto counts = [&](const auto& connection) {
        return over_unix || !connection->over_unix();
    };
    const auto used = static_cast<std::size_t>(std::ranges::count_if(connections, counts));
    if (used < (over_unix ? max_connections : max_over_tcp)) return true;
    const auto longest = std::ranges::min_element(connections, {}, [&](const auto& connection) {
        return counts(connection) ? connection->waiting_since().value_or(TimePoint::max())
                                  : TimePoint::max();
    });
    if (!counts(*longest) || !(*longest)->waiting_since()) return false;
    (*longest)->close();
    connections.erase(longest);
    return true;
}

void Server::Impl::let_in(Gate& gate, Stream stream) {
    Caller caller =
        caller_of(stream.socket().native_handle(), gate.listener.bind.front().is_unix());
    if (!gate.rules.admits(caller)) return;
    const auto connection = std::make_shared<Connection>(
        std::move(stream), std::move(caller), gate.rules, *this, gate.tls ? &*gate.tls : nullptr);
    connections.push_back(connection);
    asio::co_spawn(context, connection->serve(), [this, connection](std::exception_ptr error) {
        std::erase(connections, connection);
        if (!error) return;
        try {
            std::rethrow_exception(std::move(error));
        } catch (const std::exception& e) {  // costs this client its connection
            log.error("admin: a request failed: {}", e.what());
        }
    });
}

std::string Server::Impl::status_text() {
    const TimePoint now = SteadyClock().now();
    if (status.empty() || now - status_made >= status_kept) {
        status = the_api.status_text();
        status_made = now;
    }
    return status;
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

std::expected<Endpoint, std::string> Server::open(const Door& door,
                                                  const std::vector<std::string>& allowed_hosts) {
    Gate& gate = impl_->gates.emplace_back(impl_->context, door, allowed_hosts);
    if (auto opened = impl_->open(gate); !opened) {
        auto error = fmt::format("admin listener {}: {}", door.listener.bind.front().to_string(),
                                 opened.error());
        net::remove_unix_path(gate.group);
        impl_->gates.pop_back();
        return std::unexpected(std::move(error));
    }
    return gate.group.sockets.front().bound();
}

void Server::start() {
    for (Gate& gate : impl_->gates)
        asio::co_spawn(impl_->context, impl_->accept(gate), [](std::exception_ptr error) {
            if (error) std::rethrow_exception(std::move(error));
        });
}

void Server::stop() {
    if (std::exchange(impl_->stopped, true)) return;
    for (Gate& gate : impl_->gates) {
        boost::system::error_code ignored;
        gate.acceptor.close(ignored);
        gate.pause.cancel();
        net::remove_unix_path(gate.group);
    }
    for (const auto& connection : impl_->connections) connection->finish();
}

void Server::close_all() {
    for (const auto& connection : impl_->connections) connection->close();
}

std::vector<Endpoint> Server::bound() const {
    std::vector<Endpoint> addresses;
    for (const Gate& gate : impl_->gates) addresses.push_back(gate.group.sockets.front().bound());
    return addresses;
}

bool Server::idle() const noexcept { return impl_->connections.empty(); }

void Server::set_token(const Endpoint& address, std::string token) {
    for (Gate& gate : impl_->gates)
        if (gate.listener.bind.front() == address) gate.rules.set_token(token);
}

}  // namespace penstock::admin
