#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/endpoint.hpp"

/// The configuration as plain values, defaults included. Built by load() (load.hpp), compared and
/// printed from the key table; nothing here knows TOML.
namespace penstock::config {

struct Drain {
    Duration wait = std::chrono::seconds(25);       // natural end first; `never` where allowed
    Duration close_over = std::chrono::seconds(5);  // then closing evenly, idle ones first
    bool operator==(const Drain&) const = default;
};

struct Keepalive {
    Duration idle = std::chrono::seconds(60);
    Duration interval = std::chrono::seconds(15);
    std::uint32_t probes = 4;
    bool operator==(const Keepalive&) const = default;
};

struct Process {
    std::uint32_t workers = 0;          // 0 = auto: the cores this process may use
    std::uint64_t max_connections = 0;  // 0 = auto: from the descriptor limit
    Drain drain;
    Duration shutdown_delay{};
    std::string user;
    std::string group;
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

enum class OnLimit : std::uint8_t { refuse, wait };
enum class RefuseWith : std::uint8_t { reset, close };

struct ListenerTimeouts {
    Duration idle = std::chrono::hours(1);         // `never` allowed
    Duration half_closed = std::chrono::minutes(1);  // `never` allowed
    Duration lifetime = never;
    double lifetime_jitter = 0.1;
    bool operator==(const ListenerTimeouts&) const = default;
};

struct Listener {
    std::string name;
    std::vector<Endpoint> bind;  // `:80` already expanded to both families
    std::string upstream;        // "" = refuse what nothing claims (no_route)
    std::uint32_t backlog = 4096;
    std::uint64_t max_connections = 0;  // 0 = only the process limit
    OnLimit on_limit = OnLimit::refuse;
    RefuseWith refuse_with = RefuseWith::reset;
    Duration peer_timeout = std::chrono::seconds(30);  // `never` allowed
    Keepalive keepalive;
    ListenerTimeouts timeouts;
    bool operator==(const Listener&) const = default;
};

enum class Balance : std::uint8_t { round_robin, least_connections, p2c, random };
enum class NoBackend : std::uint8_t { reset, close };
enum class BackendState : std::uint8_t { ready, drain, maintenance };

struct RetryBackoff {
    Duration base = std::chrono::milliseconds(25);
    Duration max = std::chrono::milliseconds(250);
    bool operator==(const RetryBackoff&) const = default;
};

struct Backend {
    std::string name;  // default: the address as written
    Endpoint address;
    std::uint32_t weight = 1;
    std::uint32_t tier = 0;
    BackendState state = BackendState::ready;
    bool operator==(const Backend&) const = default;
};

struct Upstream {
    std::string name;
    Balance balance = Balance::p2c;
    Duration connect_timeout = std::chrono::seconds(4);
    std::uint32_t attempts = 3;
    RetryBackoff retry_backoff;
    NoBackend no_backend = NoBackend::reset;
    Keepalive keepalive;
    std::vector<Backend> backends;
    bool operator==(const Upstream&) const = default;
};

struct Config {
    Process process;
    Log log;
    AccessLog access_log;
    std::vector<Listener> listeners;
    std::vector<Upstream> upstreams;
    bool operator==(const Config&) const = default;
};

}  // namespace penstock::config
