#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "admin/server.hpp"
#include "app/operations/service.hpp"
#include "net/file_watch.hpp"

namespace penstock::app {

/// The admin API of a running proxy: what it serves, where, and to whom. Reads the token files,
/// also when they change. Control thread.
class AdminApi {
public:
    /// Opens its listeners. A unix socket below $RUNTIME that cannot be made is a warning in the
    /// log, anything else an error for the user. What `parts` refers to must outlive the object.
    [[nodiscard]] static std::expected<std::unique_ptr<AdminApi>, std::string> open(
        const Service::Parts& parts);
    ~AdminApi();
    AdminApi(const AdminApi&) = delete;
    AdminApi& operator=(const AdminApi&) = delete;

    void start();
    /// Closes everything, and lets the io_context run until nobody uses it any more.
    void stop();

    [[nodiscard]] Service& service() noexcept { return service_; }
    [[nodiscard]] std::vector<Endpoint> bound() const { return server_->bound(); }

private:
    explicit AdminApi(const Service::Parts& parts);
    [[nodiscard]] std::expected<void, std::string> open_doors();
    void reload_token(std::size_t door);

    Service::Parts parts_;
    Service service_;
    admin::Api api_;
    std::vector<admin::Door> doors_;
    std::unique_ptr<admin::Server> server_;
    net::FileWatch tokens_;
    bool stopped_ = false;
};

}  // namespace penstock::app
