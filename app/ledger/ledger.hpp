#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <string>

#include "base/clock.hpp"
#include "metrics/totals.hpp"

namespace penstock::app {

/// How long what was counted under a name stays when nobody has it any more.
inline constexpr Duration names_remembered = std::chrono::minutes(5);

/// A backend, as configurations and processes name it.
struct BackendName {
    std::string upstream{};
    std::string backend{};
    friend auto operator<=>(const BackendName&, const BackendName&) = default;
};

/// A local address that an upstream connects from.
struct SourceName {
    std::string upstream{};
    std::string address{};
    friend auto operator<=>(const SourceName&, const SourceName&) = default;
};

/// What is counted for the process as a whole, workers included.
struct ProcessTotals {
    std::uint64_t access_log_lines = 0;
    std::uint64_t access_log_dropped = 0;
    std::uint64_t access_log_suppressed = 0;
    std::uint64_t log_dropped = 0;
    std::uint64_t reloads_succeeded = 0;
    std::uint64_t reloads_failed = 0;

    ProcessTotals& operator+=(const ProcessTotals& other) noexcept;
    bool operator==(const ProcessTotals&) const = default;
};

/// Look-ups of an upstream's names.
struct LookupTotals {
    std::uint64_t succeeded = 0;
    std::uint64_t failed = 0;

    LookupTotals& operator+=(const LookupTotals& other) noexcept;
    bool operator==(const LookupTotals&) const = default;
};

/// Everything that one process has counted since its start, by the names of the configuration, so
/// that what several processes have counted can be added up. A plain value.
struct Ledger {
    struct Listener {
        metrics::ListenerTotals totals{};
        std::map<std::string, metrics::RouteTotals> routes{};  // by upstream

        Listener& operator+=(const Listener& other);
    };

    std::map<std::string, Listener> listeners{};
    std::map<std::string, metrics::UpstreamTotals> upstreams{};
    std::map<std::string, LookupTotals> lookups{};  // by upstream
    std::map<BackendName, metrics::BackendTotals> backends{};
    std::map<unsigned, metrics::WorkerTotals> workers{};  // by number
    ProcessTotals process{};

    Ledger& operator+=(const Ledger& other);
};

/// What a process has now: of several processes, these add up too. A plain value.
struct Gauges {
    struct Upstream {
        std::uint64_t connections = 0;
        std::uint64_t queued = 0;
        std::uint64_t held = 0;

        Upstream& operator+=(const Upstream& other) noexcept;
        bool operator==(const Upstream&) const = default;
    };
    struct Backend {
        std::uint64_t active = 0;  // sessions
        std::uint64_t connecting = 0;
        std::uint64_t warm = 0;

        Backend& operator+=(const Backend& other) noexcept;
        bool operator==(const Backend&) const = default;
    };

    std::uint64_t connections = 0;  // of clients
    std::map<std::string, std::uint64_t> listeners{};
    std::map<std::string, Upstream> upstreams{};
    std::map<BackendName, Backend> backends{};
    std::map<SourceName, std::uint64_t> sources{};  // connections
    std::map<unsigned, std::uint64_t> workers{};  // connections, by number

    Gauges& operator+=(const Gauges& other);
    bool operator==(const Gauges&) const = default;
};

}  // namespace penstock::app
