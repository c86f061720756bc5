#pragma once

#include <string>

#include "app/exit_status.hpp"

namespace penstock::app {

struct CheckOptions {
    std::string config_file;  // "-" = standard input
    bool print = false;       // the effective configuration as TOML
    bool strict = false;      // warnings fail
    bool json = false;
};

/// `penstock check`: validates exactly as `run` does. Returns the exit status.
ExitStatus check(const CheckOptions& options);

}  // namespace penstock::app
