#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "config/admin.hpp"
#include "config/common.hpp"
#include "config/listener.hpp"
#include "config/upstream.hpp"

/// The configuration as plain values, defaults included. Built by load() (load.hpp), compared and
/// printed from the key table; nothing here knows TOML.
namespace penstock::config {

/// What a changed file does by itself; a reload may always be asked for.
enum class WatchConfig : std::uint8_t {
    off,
    check,  // its mistakes and what it would change are logged
    apply,
};

/// What the process denies itself once it has started (app/sandbox/).
enum class SandboxMode : std::uint8_t {
    automatic,  // what this kernel can do; the rest is a warning
    off,
    strict,  // all of it, or no start; reading is confined as well
};

struct Process {
    std::uint32_t workers = 0;          // 0 = auto: the cores this process may use
    std::uint64_t max_connections = 0;  // 0 = auto: from the descriptor limit
    std::uint64_t memory_limit = 0;     // bytes; 0 = auto: that of the cgroup, if there is one
    Drain drain{};
    Drain upgrade_drain{std::chrono::hours(1), std::chrono::minutes(5)};  // of the old process
    std::uint32_t max_old_processes = 3;
    Duration shutdown_delay{};
    WatchConfig watch_config = WatchConfig::check;
    std::uint64_t hash_seed = 0;
    std::string user{};
    std::string group{};
    bool strict_permissions = false;
    SandboxMode sandbox = SandboxMode::automatic;
    bool operator==(const Process&) const = default;
};

enum class LogLevel : std::uint8_t { error, warn, info, debug };
enum class LogFormat : std::uint8_t { text, json };

struct Log {
    LogLevel level = LogLevel::info;
    LogFormat format = LogFormat::text;
    std::string target = "stderr";  // stderr | stdout | an absolute path
    bool operator==(const Log&) const = default;
};

struct AccessLog {
    std::string target = "off";  // off | stdout | an absolute path
    LogFormat format = LogFormat::json;
    bool on_open = false;
    bool on_close = true;
    bool skip_empty = false;
    Duration flush_interval = std::chrono::seconds(1);
    bool operator==(const AccessLog&) const = default;
};

struct Config {
    Process process{};
    Log log{};
    AccessLog access_log{};
    Admin admin{};
    std::vector<Listener> listeners{};
    std::vector<Upstream> upstreams{};
    bool operator==(const Config&) const = default;
};

}  // namespace penstock::config
