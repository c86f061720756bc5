#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "base/prefix.hpp"
#include "base/role.hpp"

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
    Drain drain{};
    Duration shutdown_delay{};
    std::uint64_t hash_seed = 0;
    std::string user{};
    std::string group{};
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

/// `amount` in `per`, and at most `burst` at once. amount 0 = unlimited.
struct Rate {
    std::uint64_t amount = 0;
    Duration per = std::chrono::seconds(1);
    std::uint64_t burst = 0;
    bool operator==(const Rate&) const = default;
};

struct SourcePrefix {
    std::uint32_t ipv4 = 32;
    std::uint32_t ipv6 = 64;
    bool operator==(const SourcePrefix&) const = default;
};

/// The keys of a listener that may be named in `dry_run`: they count and log, and refuse nobody.
struct DryRun {
    bool max_connections = false;
    bool max_connections_per_source = false;
    bool accept_rate = false;
    bool accept_rate_per_source = false;
    bool allow = false;
    bool deny = false;
    bool operator==(const DryRun&) const = default;
};

enum class SplitBy : std::uint8_t { random, source_ip };

/// One share of a split listener.
struct SplitPart {
    std::string upstream{};
    std::uint32_t weight = 1;
    bool operator==(const SplitPart&) const = default;
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
    std::string name{};
    std::vector<Endpoint> bind{};  // `:80` already expanded to both families
    std::string upstream{};        // "" = refuse what nothing claims (no_route)
    Role role = Role::none;        // only backends that report this role; none = any
    std::vector<SplitPart> split{};  // instead of upstream; empty = no split
    SplitBy split_by = SplitBy::random;
    std::uint32_t backlog = 4096;
    std::uint64_t max_connections = 0;  // 0 = only the process limit
    std::uint64_t max_connections_per_source = 0;  // 0 = unlimited
    Rate accept_rate{};
    Rate accept_rate_per_source{};
    SourcePrefix source_prefix{};
    PeerList limit_exempt{};
    OnLimit on_limit = OnLimit::refuse;
    RefuseWith refuse_with = RefuseWith::reset;
    PeerList allow{};  // empty = everybody
    PeerList deny{};
    std::string allow_file{};  // absolute; "" = none
    std::string deny_file{};
    DryRun dry_run{};
    std::uint64_t download_rate =
        0;  // bytes per second and connection, towards the client; 0 = unlimited
    std::uint64_t upload_rate = 0;
    Duration peer_timeout = std::chrono::seconds(30);  // `never` allowed
    Keepalive keepalive{};
    ListenerTimeouts timeouts{};
    bool operator==(const Listener&) const = default;
};

enum class Balance : std::uint8_t {
    round_robin,
    least_connections,
    p2c,
    random,
    least_latency,
    maglev,
    ring_hash,
    first,
};
enum class HashKey : std::uint8_t { source_ip, source_ip_port };
enum class NoBackend : std::uint8_t { reset, close, hold };
enum class QueueOrder : std::uint8_t { fifo, adaptive_lifo };
enum class BackendState : std::uint8_t { ready, drain, maintenance };

struct RetryBackoff {
    Duration base = std::chrono::milliseconds(25);
    Duration max = std::chrono::milliseconds(250);
    bool operator==(const RetryBackoff&) const = default;
};

struct Backend {
    std::string name{};  // default: the address as written
    Endpoint address{};  // empty where `host` is given
    std::string host{};  // a name to be resolved while running, one backend per record; "" = none
    std::uint16_t host_port = 0;
    std::uint32_t weight = 1;
    std::uint32_t tier = 0;
    BackendState state = BackendState::ready;
    std::uint64_t max_connections = 0;  // 0 = unlimited
    bool operator==(const Backend&) const = default;
};

/// What a backend says nothing about.
struct BackendDefaults {
    std::uint32_t weight = 1;
    std::uint32_t tier = 0;
    std::uint64_t max_connections = 0;
    bool operator==(const BackendDefaults&) const = default;
};

/// Clients kept while no backend is available.
struct Hold {
    Duration timeout = std::chrono::seconds(30);
    std::uint32_t max_length = 1024;
    bool operator==(const Hold&) const = default;
};

/// Clients that wait for a free slot.
struct Queue {
    std::uint32_t max_length = 1024;  // 0 = no queue: refuse at once
    Duration timeout = std::chrono::seconds(5);
    QueueOrder policy = QueueOrder::fifo;
    bool operator==(const Queue&) const = default;
};

/// Warm connections; figures per backend, over all workers.
struct Pool {
    std::uint32_t min_idle = 0;  // 0 = off
    std::uint32_t max_idle = 0;  // 0 = as min_idle
    Duration max_age = std::chrono::seconds(30);
    bool operator==(const Pool&) const = default;
};

struct SlowStart {
    Duration window{};  // 0 = off
    double min_weight = 0.1;
    double aggression = 1.0;
    bool operator==(const SlowStart&) const = default;
};

enum class OnBackendDown : std::uint8_t { keep, drain, kill };
enum class OnRoleChange : std::uint8_t { keep, kill };

enum class CheckType : std::uint8_t { none, tcp, tls, http, exchange, redis, postgres, mysql };
enum class CheckInitial : std::uint8_t { check, up, down };
enum class CheckTls : std::uint8_t { inherit, on, off };

/// base, doubling up to max.
struct Growing {
    Duration base{};
    Duration max{};
    bool operator==(const Growing&) const = default;
};

/// HTTP statuses from first to last.
struct StatusRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    bool operator==(const StatusRange&) const = default;
};

struct HttpCheck {
    std::string method = "GET";
    std::string path = "/";
    std::string host{};  // "" = the host name of the backend's address, else the address
    std::vector<StatusRange> status{{200, 399}};
    std::string body_contains{};
    std::vector<StatusRange> primary_status{};
    std::vector<StatusRange> replica_status{};
    bool operator==(const HttpCheck&) const = default;
};

struct ExchangeCheck {
    std::string send{};
    std::string expect{};  // part of the answer; "" = any answer
    bool operator==(const ExchangeCheck&) const = default;
};

/// Active checks.
struct HealthCheck {
    CheckType type = CheckType::none;
    Duration interval = std::chrono::seconds(2);
    Duration fast_interval = std::chrono::milliseconds(500);  // while rising or falling
    Growing down_interval{std::chrono::seconds(1), std::chrono::seconds(30)};
    Duration timeout = std::chrono::seconds(1);  // one check, from connect to verdict
    std::uint32_t rise = 2;
    std::uint32_t fall = 3;
    double jitter = 0.1;
    CheckInitial initial = CheckInitial::check;
    std::uint32_t port = 0;  // 0 = the backend's own
    CheckTls tls = CheckTls::inherit;
    HttpCheck http{};
    ExchangeCheck exchange{};
    std::string user{};
    std::string password_file{};  // absolute; "" = none
    std::string database{};
    bool operator==(const HealthCheck&) const = default;
};

/// What real connections say.
struct CircuitBreaker {
    bool enabled = true;
    std::uint32_t consecutive_failures = 5;
    double failure_rate = 0.5;  // 0 = off
    std::uint32_t min_samples = 20;
    Duration window = std::chrono::seconds(10);
    Growing open_for{std::chrono::seconds(10), std::chrono::minutes(5)};
    std::uint32_t half_open_trials = 1;
    double max_open_share = 0.5;
    bool early_reset_counts = true;
    bool dry_run = false;
    bool operator==(const CircuitBreaker&) const = default;
};

enum class DiscoveryType : std::uint8_t { dns, srv, file };
enum class OnEmpty : std::uint8_t { keep, drain };

/// Backends from elsewhere.
struct Discovery {
    DiscoveryType type = DiscoveryType::dns;
    std::string name{};
    std::uint32_t port = 0;
    std::vector<Endpoint> resolver{};  // empty = the system's
    Duration min_ttl = std::chrono::seconds(1);
    Duration max_ttl = std::chrono::minutes(1);
    Duration removal_delay = std::chrono::seconds(10);
    OnEmpty on_empty = OnEmpty::keep;
    Growing retry{std::chrono::seconds(1), std::chrono::seconds(30)};
    std::uint32_t max_backends = 256;
    std::string path{};  // absolute
    bool operator==(const Discovery&) const = default;
};

struct Upstream {
    std::string name{};
    Balance balance = Balance::p2c;
    HashKey hash_key = HashKey::source_ip;
    double bounded_load = 0;  // 0 = off, else at least 1
    Duration connect_timeout = std::chrono::seconds(4);
    std::uint32_t attempts = 3;
    RetryBackoff retry_backoff{};
    double retry_budget = 0.2;  // share of the sessions; at least 3 retries are always allowed
    std::uint64_t max_connections = 0;  // all backends together; 0 = unlimited
    std::uint32_t max_connecting_per_backend = 0;  // 0 = unlimited
    bool spill_when_full = false;
    double tier_join_below = 0;
    double panic_threshold = 0.5;  // resolved: 0 where that is the default
    NoBackend no_backend = NoBackend::reset;
    Hold hold{};
    OnBackendDown on_backend_down = OnBackendDown::keep;
    Duration down_grace{};
    OnRoleChange on_role_change = OnRoleChange::keep;
    Drain drain{std::chrono::minutes(5), std::chrono::seconds(30)};  // `never` allowed
    std::vector<Endpoint> source_address{};  // port 0; empty = the kernel chooses
    Keepalive keepalive{};
    Queue queue{};
    Pool pool{};
    SlowStart slow_start{};
    HealthCheck health_check{};
    CircuitBreaker circuit_breaker{};
    BackendDefaults backend_defaults{};
    std::vector<Backend> backends{};
    std::vector<Discovery> discovery{};
    bool operator==(const Upstream&) const = default;
};

struct Config {
    Process process{};
    Log log{};
    AccessLog access_log{};
    std::vector<Listener> listeners{};
    std::vector<Upstream> upstreams{};
    bool operator==(const Config&) const = default;
};

}  // namespace penstock::config
