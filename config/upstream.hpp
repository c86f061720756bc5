#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "config/common.hpp"
#include "config/health.hpp"
#include "config/tls.hpp"

namespace penstock::config {

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
enum class HashKey : std::uint8_t { source_ip, source_ip_port, sni };
enum class SendProxyProtocol : std::uint8_t { off, v1, v2 };

/// What a v2 header says beyond the addresses.
struct ProxyTlvs {
    bool authority = false;
    bool alpn = false;
    bool ssl = false;
    bool unique_id = false;
    bool crc32c = false;
    bool passthrough = false;  // those that the client's header had
    bool operator==(const ProxyTlvs&) const = default;
};

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

/// Live connections move to backends that came (back), by being closed.
struct Rebalance {
    bool on_added = false;
    bool on_recovered = false;
    Duration over = std::chrono::minutes(10);
    double max_share = 0.2;  // of the upstream's sessions
    Duration min_age = std::chrono::minutes(5);
    bool operator==(const Rebalance&) const = default;
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
    SendProxyProtocol send_proxy_protocol = SendProxyProtocol::off;
    ProxyTlvs send_proxy_protocol_tlvs{};
    std::optional<UpstreamTls> tls{};  // nothing = plain
    std::vector<Endpoint> source_address{};  // port 0; empty = the kernel chooses
    Keepalive keepalive{};
    Queue queue{};
    Pool pool{};
    SlowStart slow_start{};
    Rebalance rebalance{};
    HealthCheck health_check{};
    CircuitBreaker circuit_breaker{};
    BackendDefaults backend_defaults{};
    std::vector<Backend> backends{};
    std::vector<Discovery> discovery{};
    bool operator==(const Upstream&) const = default;
};

}  // namespace penstock::config
