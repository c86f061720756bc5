#pragma once

#include <expected>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "admin/server.hpp"
#include "app/operations/service.hpp"
#include "app/tls/material.hpp"
#include "net/file_watch.hpp"

namespace penstock::app {

/// The admin API of a running proxy: what it serves, where, and to whom. Reads the token files,
/// also when they change. Control thread.
class AdminApi {
public:
    /// Listening sockets of the process before this one, by the address that a door is asked for.
    using Inherited = std::map<Endpoint, net::ListenGroup>;

    /// Opens its listeners. A unix socket below $RUNTIME that cannot be made is a warning in the
    /// log, anything else an error for the user. What `parts` refers to must outlive the object.
    [[nodiscard]] static std::expected<std::unique_ptr<AdminApi>, std::string> open(
        const Service::Parts& parts, const ConnectionLimit& limit, const TlsContexts& tls,
        Inherited inherited = {});
    ~AdminApi();
    AdminApi(const AdminApi&) = delete;
    AdminApi& operator=(const AdminApi&) = delete;

    void start();
    /// Closes everything, and lets the io_context run until nobody uses it any more.
    void stop();

    /// Listeners for another configuration: those that are new are open, nobody is let in.
    struct Change {
        std::vector<admin::Door> doors;
        config::Admin settings;
    };
    /// The error is for the user, and leaves nothing behind.
    [[nodiscard]] std::expected<Change, std::string> prepare(const config::Admin& settings,
                                                             const TlsContexts& tls);
    /// What prepare() has opened is closed again.
    void withdraw();
    /// From now on. Listeners of addresses that stay keep their sockets and their clients.
    void apply(Change change);

    /// The listener of that name (app/tls/material.hpp) shows another certificate from now on.
    void set_tls(const std::string& name,
                 const std::shared_ptr<const net::tls::OwnServerContext>& context);

    /// Another process has the listeners' sockets: nobody is let in here any more.
    void let_go();

    [[nodiscard]] Service& service() noexcept { return service_; }
    [[nodiscard]] std::vector<Endpoint> bound() const { return server_.bound(); }
    [[nodiscard]] admin::Server& server() noexcept { return server_; }

private:
    AdminApi(const Service::Parts& parts, const ConnectionLimit& limit);
    /// The doors of these settings, with their tokens and certificates.
    [[nodiscard]] std::expected<std::vector<admin::Door>, std::string> doors_of(
        const config::Admin& settings, const TlsContexts& tls);
    [[nodiscard]] std::expected<void, std::string> open_new(std::vector<admin::Door>& doors,
                                                            const config::Admin& settings,
                                                            Inherited inherited);
    [[nodiscard]] admin::Door* find(const Endpoint& address);
    void watch_tokens();
    void reload_token(const Endpoint& address);

    Service::Parts parts_;
    Service service_;
    admin::Api api_;
    std::vector<admin::Door> doors_;
    admin::Server server_;
    net::FileWatch tokens_;
    bool stopped_ = false;
};

}  // namespace penstock::app
