#pragma once

#include <expected>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "admin/api.hpp"
#include "base/log.hpp"
#include "config/admin.hpp"

namespace penstock::admin {

/// Where the API can be reached: one of the configuration's listeners, made ready by whoever
/// resolves paths and reads files.
struct Door {
    config::AdminListener listener;  // of one bind address each
    std::string token;               // "" = none
};

/// Serves the API over HTTP/1.1, on the control thread. Bounded in every respect: connections,
/// header, body, and the time that each step may take, so that nothing that happens here can touch
/// traffic.
class Server {
public:
    static constexpr std::size_t max_connections = 64;
    static constexpr std::size_t max_streams = 16;
    static constexpr std::size_t max_header = std::size_t{16} << 10;
    static constexpr std::size_t max_body = std::size_t{1} << 20;
    static constexpr Duration request_time = std::chrono::seconds(10);  // header and body
    static constexpr Duration answer_time = std::chrono::seconds(10);
    static constexpr Duration idle_time = std::chrono::seconds(60);  // between requests

    /// Opens the doors; nobody is let in yet. The error is a sentence for the user. `context`,
    /// `api` and `log` must outlive the object.
    [[nodiscard]] static std::expected<std::unique_ptr<Server>, std::string> open(
        boost::asio::io_context& context, Api& api, const std::vector<Door>& doors,
        const std::vector<std::string>& allowed_hosts, Logger& log);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    void start();
    /// Closes everything; all coroutines end soon.
    void stop();

    /// The real addresses, in the order of the doors.
    [[nodiscard]] std::vector<Endpoint> bound() const;
    /// From now on this is the token of the door of that index.
    void set_token(std::size_t door, std::string token);

private:
    struct Impl;
    explicit Server(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::admin
