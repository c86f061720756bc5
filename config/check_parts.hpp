#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/role.hpp"
#include "config/config.hpp"
#include "config/origins.hpp"
#include "config/reporter.hpp"

/// check_config() in parts, one file each.
namespace penstock::config {

/// What every part works on.
struct Check {
    const Config& config;
    const Origins& origins;
    Reporter& reporter;
};

/// Names given twice.
void check_names(const Check& check);
/// Routes of listeners and what they ask of TLS; names that lead nowhere new.
void check_routes(const Check& check);
/// TLS towards clients and backends.
void check_tls(const Check& check);
/// PROXY headers, in and out.
void check_proxy_protocol(const Check& check);
/// Listeners that name upstreams, and upstreams that nobody names.
void check_references(const Check& check);
/// Addresses bound twice and backends that lead back to this proxy.
void check_addresses(const Check& check);
/// Limits, admission and dry runs of listeners, with the files of peers.
void check_limits(const Check& check);
/// What the keys of an upstream say about each other and about its backends.
void check_upstreams(const Check& check);

/// Health checks, breakers, roles, discovery.
void check_health(const Check& check);
/// Listeners of the admin API: what goes with their addresses, and who needs a token.
void check_admin(const Check& check);

/// Paths in Origins.
[[nodiscard]] std::string listener_path(std::size_t i);
[[nodiscard]] std::string admin_listener_path(std::size_t i);
[[nodiscard]] std::string upstream_path(std::size_t i);
[[nodiscard]] std::string backend_path(std::size_t i, std::size_t j);

/// True if the table itself has the key, not only its defaults.
[[nodiscard]] bool is_own(const Check& check, const std::string& table, std::string_view key);
/// Where `key` of the listener or upstream at `table` was given: in the table itself, else in the
/// defaults, else the table.
[[nodiscard]] Region place(const Check& check, const std::string& table, std::string_view key);

/// The same within a part of the listener, `route[2]`, `split[0]`: the part as a whole comes from
/// the table itself or from the defaults.
[[nodiscard]] Region part_place(const Check& check, const std::string& table,
                                const std::string& part, std::string_view key);

/// True if the listener looks at the ClientHello of those who are not for it to decrypt.
[[nodiscard]] bool peeks(const Listener& listener);

}  // namespace penstock::config
