#pragma once

#include <string>

#include "config/config.hpp"

namespace penstock::config {

/// The configuration with all defaults as TOML that loads back to an equal one, in the order of the
/// key table. Names of the environment and of included files are gone: this is what is in effect.
[[nodiscard]] std::string print(const Config& config);

}  // namespace penstock::config
