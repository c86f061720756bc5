#pragma once

#include <functional>
#include <string>

#include <boost/asio/io_context.hpp>

#include "app/assembly.hpp"
#include "app/control.hpp"
#include "app/exit_status.hpp"

namespace penstock::app {

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
ExitStatus serve(const Origin& origin, ControlLoop& loop, net::ProcessLog& log,
                 Inheritance& inheritance,
                 const std::function<void(const Server&, const AdminApi&)>& when_ready);

/// `penstock run`. `program`: how this process was started, for its successor.
ExitStatus run(const std::string& config_file, upgrade::Program program);

}  // namespace penstock::app
