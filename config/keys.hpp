#pragma once

#include <span>
#include <string_view>

#include "config/key.hpp"

/// The rows, one file per part of the configuration; key_table.cpp puts them together.
namespace penstock::config::keys {

// Process, logs.
[[nodiscard]] std::span<const TableSpec> process_tables();
// [admin] and below.
[[nodiscard]] std::span<const TableSpec> admin_tables();
// [[listener]] and below.
[[nodiscard]] std::span<const TableSpec> listener_tables();
// What the listener tables of TLS and routing hold.
[[nodiscard]] std::span<const TableSpec> listener_extra_tables();
// [[upstream]] and below.
[[nodiscard]] std::span<const TableSpec> upstream_tables();
// How an upstream takes and spreads its load: queue, hold, pool, slow start, backend defaults.
[[nodiscard]] std::span<const TableSpec> upstream_load_tables();
// Health of an upstream: checks, breaker, discovery, how sessions of a failed backend end.
[[nodiscard]] std::span<const TableSpec> health_tables();
// What the upstream tables of rebalancing and TLS hold.
[[nodiscard]] std::span<const TableSpec> upstream_extra_tables();

template <typename T>
std::shared_ptr<void> make_default() {
    return std::make_shared<T>();
}

// Parts of a listener's and of a route's split.
[[nodiscard]] std::span<const Key> split_part_keys();
// Both sides of a session have the same keep-alive keys.
[[nodiscard]] std::span<const Key> keepalive_keys();

inline constexpr std::int64_t seconds = 1000;      // milliseconds
inline constexpr std::int64_t hours = 3600 * seconds;
inline constexpr std::int64_t longest = 87600 * hours;  // longest_duration of value.hpp

}  // namespace penstock::config::keys
