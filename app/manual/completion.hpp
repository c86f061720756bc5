#pragma once

#include <string>

#include "app/manual/command.hpp"

namespace penstock::app::manual {

/// Completion for bash: commands, options, files, and values where they are known.
[[nodiscard]] std::string bash_completion(const Command& program);

/// The same for zsh, as the function `_penstock` for its fpath.
[[nodiscard]] std::string zsh_completion(const Command& program);

}  // namespace penstock::app::manual
