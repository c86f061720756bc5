#pragma once

#include <functional>

#include "app/exit_status.hpp"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
}

namespace penstock::app::client {

/// Adds the commands that talk to a running proxy. Parsing one of them sets `action`, which returns
/// the exit status.
void add_commands(CLI::App& app, std::function<ExitStatus()>& action);

}  // namespace penstock::app::client
