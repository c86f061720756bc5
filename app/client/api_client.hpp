#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "app/client/address.hpp"
#include "app/client/event_parser.hpp"
#include "app/client/requests.hpp"
#include "base/clock.hpp"

namespace penstock::app::client {

/// Whom to ask, and how long to wait.
struct ClientOptions {
    std::vector<AdminAddress> addresses{};  // tried in this order
    std::string token{};
    Duration patience = std::chrono::seconds(10);  // for connecting and a whole answer
    /// The longest silence of a stream that says something each second.
    Duration silence = std::chrono::seconds(15);
};

struct ClientError {
    enum class Kind : std::uint8_t {
        unreachable,  // nobody listens
        failed,       // somebody does, and it went wrong
        refused,      // the proxy said no; `body` is its answer
    };
    Kind kind = Kind::failed;
    std::string message{};  // for the user, several lines at times
    std::string body{};
    unsigned status = 0;  // of HTTP, where it was refused
};

/// Asks a running proxy, one request after another, each on a connection of its own. Blocks.
class ApiClient {
public:
    explicit ApiClient(ClientOptions options) : options_(std::move(options)) {}

    /// The body of a successful answer.
    [[nodiscard]] std::expected<std::string, ClientError> ask(const Request& request) const;

private:
    ClientOptions options_;
};

/// The proxy's stream of server-sent events. All calls on the context's thread.
class EventStream {
public:
    EventStream(boost::asio::io_context& context, ClientOptions options);
    EventStream(const EventStream&) = delete;
    EventStream& operator=(const EventStream&) = delete;
    ~EventStream();

    /// Connects, and has seen that the proxy answers with a stream. Once per object.
    [[nodiscard]] boost::asio::awaitable<std::expected<void, ClientError>> open();
    /// The next event; nothing when the proxy ended the stream in an orderly way.
    [[nodiscard]] boost::asio::awaitable<std::expected<std::optional<ServerEvent>, ClientError>>
    next();
    /// Which of the addresses answered.
    [[nodiscard]] const std::string& address() const noexcept { return address_; }

private:
    struct Connection;

    ClientOptions options_;
    std::unique_ptr<Connection> connection_;
    EventParser parser_;
    std::string address_;
};

}  // namespace penstock::app::client
