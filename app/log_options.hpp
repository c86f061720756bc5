#pragma once

#include "config/config.hpp"
#include "net/logger.hpp"

namespace penstock::app {

/// What `[log]` means for the process log.
[[nodiscard]] inline net::LoggerOptions logger_options(const config::Log& log) {
    return {static_cast<LogLevel>(log.level), log.format == config::LogFormat::json, log.target};
}

}  // namespace penstock::app
