#pragma once

#include "config/config.hpp"
#include "net/logger.hpp"

namespace penstock::app {

[[nodiscard]] constexpr LogLevel level_of(config::LogLevel level) noexcept {
    switch (level) {
        case config::LogLevel::error: return LogLevel::error;
        case config::LogLevel::warn: return LogLevel::warn;
        case config::LogLevel::info: break;
        case config::LogLevel::debug: return LogLevel::debug;
    }
    return LogLevel::info;
}

/// What `[log]` means for the process log.
[[nodiscard]] inline net::LoggerOptions logger_options(const config::Log& log) {
    return {level_of(log.level), log.format == config::LogFormat::json, log.target};
}

}  // namespace penstock::app
