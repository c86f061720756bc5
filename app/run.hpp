#pragma once

#include <functional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "app/control.hpp"
#include "app/limits.hpp"
#include "app/server.hpp"
#include "config/config.hpp"

namespace penstock::app {

enum ExitStatus : int {
    success = 0,
    failure = 1,
    invalid_usage = 2,
    unreachable = 3,  // no running proxy
    has_changes = 4,  // `plan --exit-code` alone
};

/// The number of workers and connections that `config` comes to on this machine; raises the
/// descriptor limit. The error is a sentence for the user.
struct Capacity {
    std::size_t workers;
    ConnectionLimit limit;
};
[[nodiscard]] std::expected<Capacity, std::string> plan_capacity(const config::Config& config);

/// The control thread's loop, with its signals registered before anything takes time.
struct ControlLoop {
    ControlLoop();
    boost::asio::io_context context{1};
    Control::Signals signals;
};

class AdminApi;

/// What to serve, and where it came from.
struct Origin {
    ConfigPtr config;
    std::string file{};                // the configuration's, absolute; "" = there is none to reload
    std::vector<std::string> files{};  // all that were read
};

/// Serves until it is stopped: sockets, workers, signals, reloads, drain. `when_ready` is called
/// once every listener accepts. Returns the exit status.
int serve(const Origin& origin, ControlLoop& loop, net::ProcessLog& log,
          const std::function<void(const Server&, const AdminApi&)>& when_ready);

/// `penstock run`.
int run(const std::string& config_file);

}  // namespace penstock::app
