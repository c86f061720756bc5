#pragma once

#include <functional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "app/assembly.hpp"
#include "app/control.hpp"
#include "config/config.hpp"

namespace penstock::app {

enum ExitStatus : int {
    success = 0,
    failure = 1,
    invalid_usage = 2,
    unreachable = 3,  // no running proxy
    has_changes = 4,  // `plan --exit-code` alone
};

/// What `config` comes to on this machine; raises the descriptor limit. The error is a sentence for
/// the user.
[[nodiscard]] std::expected<Capacity, std::string> plan_capacity(const config::Config& config);

/// The control thread's loop, with its signals registered before anything takes time. From its
/// destruction on they are ignored: the process is about to end by itself, as it was told.
class ControlLoop {
    struct Context : boost::asio::io_context {
        using io_context::io_context;
        using io_context::shutdown;
    };

public:
    ControlLoop();
    ControlLoop(const ControlLoop&) = delete;
    ControlLoop& operator=(const ControlLoop&) = delete;
    ~ControlLoop();

    /// Destroys what still waits in the loop, coroutines among it: to be called while what they
    /// refer to lives, and when no other thread may post anything. Nothing runs in it afterwards.
    void abandon() { context.shutdown(); }

    Context context{1};
    Control::Signals signals;
};

/// Serves until it is stopped: sockets, workers, signals, reloads, drain. `when_ready` is called
/// once every listener accepts. Returns the exit status.
int serve(const Origin& origin, ControlLoop& loop, net::ProcessLog& log, Inheritance& inheritance,
          const std::function<void(const Server&, const AdminApi&)>& when_ready);

/// `penstock run`. `program`: how this process was started, for its successor.
int run(const std::string& config_file, upgrade::Program program);

}  // namespace penstock::app
