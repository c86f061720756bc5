#pragma once

#include <functional>

namespace CLI {  // NOLINT(readability-identifier-naming): the library's
class App;
}

namespace penstock::app::client {

/// Adds the commands that talk to a running proxy. Parsing one of them sets `action`, which returns
/// the exit status.
void add_commands(CLI::App& app, std::function<int()>& action);

}  // namespace penstock::app::client
