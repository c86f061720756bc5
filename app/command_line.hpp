#pragma once

#include "app/exit_status.hpp"
#include "app/manual/command.hpp"
#include "app/upgrade/program.hpp"

namespace penstock::app {

/// Does what the arguments ask for; returns the exit status. `program`: how this process was
/// started, for its successor.
ExitStatus run_command_line(int argc, const char* const* argv, const upgrade::Program& program);

/// All commands with their options, as --help shows them.
[[nodiscard]] manual::Command describe_command_line();

}  // namespace penstock::app
