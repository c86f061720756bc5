#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "config/common.hpp"

namespace penstock::config {

enum class OnBackendDown : std::uint8_t { keep, drain, kill };
enum class OnRoleChange : std::uint8_t { keep, kill };

enum class CheckType : std::uint8_t { none, tcp, tls, http, exchange, redis, postgres, mysql };
enum class CheckInitial : std::uint8_t { check, up, down };
enum class CheckTls : std::uint8_t { inherit, on, off };
/// automatic = as traffic, with LOCAL.
enum class CheckProxyProtocol : std::uint8_t { automatic, off };

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
    CheckProxyProtocol send_proxy_protocol = CheckProxyProtocol::automatic;
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

}  // namespace penstock::config
