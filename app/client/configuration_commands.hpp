#pragma once

#include <string>

#include "app/client/command_target.hpp"
#include "app/exit_status.hpp"

/// The commands about the configuration and the program as a whole; each returns the exit status.
namespace penstock::app::client {

struct PlanOptions {
    std::string file{};  // "" = the one that the proxy would read, - = standard input
    bool exit_code = false;
};

ExitStatus plan(const CommandTarget& target, const PlanOptions& options);
/// `digest`: "" = any.
ExitStatus reload(const CommandTarget& target, const std::string& digest);
ExitStatus upgrade(const CommandTarget& target);

}  // namespace penstock::app::client
