#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/awaitable.hpp>

#include "app/monitors.hpp"
#include "app/operations/worker_sessions.hpp"
#include "app/server.hpp"
#include "app/upgrade/messages.hpp"

namespace penstock::app {

/// Does what the process says that has taken over from this one. Control thread.
class OrderTaker {
public:
    /// References must outlive the object. `pause` and `resume` are those of an operator here;
    /// false = there was nothing to do.
    struct Parts {
        Server& server;
        Monitors& monitors;
        WorkerSessions& sessions;
        std::function<bool(const std::string& upstream, Duration max, const std::string& by)> pause;
        std::function<bool(const std::string& upstream, const std::string& by)> resume;
    };
    explicit OrderTaker(Parts parts) : parts_(std::move(parts)) {}

    [[nodiscard]] boost::asio::awaitable<upgrade::OrderAnswer> obey(upgrade::Order order);

private:
    bool change(const upgrade::Order& order);
    boost::asio::awaitable<void> count(const upgrade::Order& order, upgrade::OrderAnswer& answer);
    boost::asio::awaitable<void> end(const upgrade::Order& order, upgrade::OrderAnswer& answer);
    boost::asio::awaitable<void> list_closes(const upgrade::Order& order,
                                             upgrade::OrderAnswer& answer);
    [[nodiscard]] std::optional<std::size_t> find_upstream(const std::string& name) const;

    Parts parts_;
};

}  // namespace penstock::app
