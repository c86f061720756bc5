#pragma once

#include <functional>
#include <string>

#include "app/assembly.hpp"
#include "app/control_loop.hpp"
#include "app/exit_status.hpp"

namespace penstock::app {

/// Serves until it is stopped: sockets, workers, signals, reloads, drain. `when_ready` is called
/// once every listener accepts. Returns the exit status.
ExitStatus serve(const Origin& origin, ControlLoop& loop, net::ProcessLog& log,
                 Inheritance& inheritance,
                 const std::function<void(const Server&, const AdminApi&)>& when_ready);

/// `penstock run`. `program`: how this process was started, for its successor.
ExitStatus run(const std::string& config_file, upgrade::Program program);

}  // namespace penstock::app
