#pragma once

#include <expected>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "admin/api.hpp"
#include "base/log.hpp"
#include "config/admin.hpp"
#include "net/listen_socket.hpp"
#include "net/tls/own_server.hpp"

namespace penstock::admin {

/// Where the API can be reached: one of the configuration's listeners, made ready by whoever
/// resolves paths and reads files.
struct Door {
    config::AdminListener listener;  // of one bind address each
    std::string token;               // "" = none
    bool optional = false;           // nobody asked for it: without it the program goes on
    std::shared_ptr<const net::tls::OwnServerContext> tls{};  // null = plain
};

/// Serves the API over HTTP/1.1, on the control thread. Bounded in every respect: connections,
/// header, body, and the time that each step may take, so that nothing that happens here can touch
/// traffic.
class Server {
public:
    static constexpr std::size_t max_connections = 32;
    static constexpr std::size_t max_over_tcp = 24;  // the rest is for unix sockets alone
    static constexpr std::size_t max_streams = 12;
    static constexpr std::size_t max_header = std::size_t{16} << 10;
    static constexpr std::size_t max_body = std::size_t{1} << 20;
    static constexpr std::size_t max_configuration = std::size_t{4} << 20;  // a body of `plan`
    static constexpr Duration request_time = std::chrono::seconds(10);  // header and body
    static constexpr Duration answer_time = std::chrono::seconds(10);
    static constexpr Duration idle_time = std::chrono::seconds(60);  // between requests

    /// All must outlive the object.
    Server(boost::asio::io_context& context, Api& api, Logger& log);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Opens one listener; nobody is let in yet. Returns its real address; the error is a sentence
    /// for the user, and leaves nothing behind.
    [[nodiscard]] std::expected<Endpoint, std::string> open(
        const Door& door, const std::vector<std::string>& allowed_hosts);
    /// The same with a socket of the process before this one, which listens already.
    [[nodiscard]] std::expected<Endpoint, std::string> open(
        const Door& door, const std::vector<std::string>& allowed_hosts,
        net::ListenGroup inherited);

    /// Whoever was opened since the last call is let in.
    void start();
    /// What was opened since start() is closed again.
    void withdraw();
    /// configure() would succeed as far as its group is concerned. The error is for
    /// the user.
    [[nodiscard]] static std::expected<void, std::string> check(const Door& door);
    /// The listener at the address that `door` has: from now on with these settings and token.
    /// Connections stay. The error is a sentence for the user, and changes nothing.
    [[nodiscard]] std::expected<void, std::string> configure(
        const Door& door, const std::vector<std::string>& allowed_hosts);
    /// Closes the listener at that address; who is connected gets the answer to its request.
    void close(const Endpoint& address);
    /// Closes everything, streams after their last word; all coroutines end soon.
    void stop();
    /// After stop(): at once.
    void close_all();

    /// Nobody is connected.
    [[nodiscard]] bool idle() const noexcept;

    /// The process that inherited sockets came from has let them go: their paths get the mode and
    /// the group of the settings, and are removed in the end.
    void own_paths();
    /// For another process: each listening socket, with its address as it was given to open().
    struct Listening {
        Endpoint address;
        int fd;
        std::uint64_t unix_device;
        std::uint64_t unix_inode;
    };
    [[nodiscard]] std::vector<Listening> listening() const;
    /// Another process has them: closes them here, without their paths. Who is connected gets the
    /// answer to its request.
    void let_go();

    /// The real addresses of what is open.
    [[nodiscard]] std::vector<Endpoint> bound() const;
    /// From now on this is the token of the listener at that address, as it was given to open().
    void set_token(const Endpoint& address, std::string token);
    /// The same of its certificate; connections stay as they are.
    void set_tls(const Endpoint& address,
                 const std::shared_ptr<const net::tls::OwnServerContext>& context);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::admin
