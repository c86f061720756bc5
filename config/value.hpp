#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/endpoint.hpp"
#include "config/bind.hpp"
#include "config/health.hpp"

/// The texts inside strings: durations, names, addresses. Errors are sentences for the user that
/// do not repeat the key; the caller puts them after it.
namespace penstock::config {

/// No duration of a configuration is longer: ten years.
inline constexpr Duration longest_duration = std::chrono::hours(24) * 3650;

/// `250ms`, `5s`, `10m`, `1h`: one whole number, one unit. Negative and overlong ones are errors,
/// `never` too: the caller knows whether it is allowed.
[[nodiscard]] std::expected<Duration, std::string> parse_duration(std::string_view text);

/// The shortest text that parse_duration() reads back to the same: `4s`, not `4000ms`. `never` for
/// never. Parts below a millisecond do not exist in configurations and are cut off.
[[nodiscard]] std::string format_duration(Duration duration);

/// [A-Za-z0-9._-], 1 to 64 characters: listeners and upstreams.
[[nodiscard]] std::expected<void, std::string> check_name(std::string_view name);
/// The same and `:[]/@`, 1 to 255 characters: backends.
[[nodiscard]] std::expected<void, std::string> check_backend_name(std::string_view name);

/// Where to connect to: an address, or a host name to be resolved while running.
struct ServerAddress {
    Endpoint endpoint;  // empty where `host` is not
    std::string host;
    std::uint16_t port = 0;  // of the host
};
/// `10.0.0.1:80`, `[::1]:80`, `host.example:80`, `unix:/run/app.sock`, `unix:@abstract`. Relative
/// paths start at `directory`.
[[nodiscard]] std::expected<ServerAddress, std::string> parse_server_address(
    std::string_view text, std::string_view directory);

/// The same without host names.
[[nodiscard]] std::expected<Endpoint, std::string> parse_backend_address(
    std::string_view text, std::string_view directory);

/// Where a listener listens: as below, or an inherited socket.
[[nodiscard]] std::expected<std::vector<Bind>, std::string> parse_bind(std::string_view text,
                                                                       std::string_view directory);

/// Where to listen; `:80` gives both families. Relative paths as above.
[[nodiscard]] std::expected<std::vector<Endpoint>, std::string> parse_bind_address(
    std::string_view text, std::string_view directory);

/// The same for the admin API: a unix path may begin with `$RUNTIME`, which stays as it is.
[[nodiscard]] std::expected<std::vector<Endpoint>, std::string> parse_admin_bind_address(
    std::string_view text, std::string_view directory);

/// Permissions of a file: `0600`, `600`; at most 0777.
[[nodiscard]] std::expected<std::uint32_t, std::string> parse_mode(std::string_view text);
/// Four octal digits.
[[nodiscard]] std::string format_mode(std::uint32_t mode);

/// An address of this machine to connect from: `10.0.0.5`, `2001:db8::5`, `fe80::5%eth0`. Port 0.
[[nodiscard]] std::expected<Endpoint, std::string> parse_local_address(std::string_view text);
/// The form that parse_local_address() reads.
[[nodiscard]] std::string format_local_address(const Endpoint& endpoint);

/// `10.0.0.2:53`, `[::1]:53`; the port may be left out: `10.0.0.2`, `2001:db8::2`.
[[nodiscard]] std::expected<Endpoint, std::string> parse_name_server(std::string_view text);

/// `200`, `200-399`.
[[nodiscard]] std::expected<StatusRange, std::string> parse_status_range(std::string_view text);
[[nodiscard]] std::string format_status_range(const StatusRange& range);

/// The form that parse_backend_address() and parse_bind_address() read, zones of IPv6 addresses by
/// name.
[[nodiscard]] std::string format_endpoint(const Endpoint& endpoint);

/// `path` if it is absolute, else below `directory`, without `.` and `..` parts.
[[nodiscard]] std::string absolute_path(std::string_view path, std::string_view directory);

}  // namespace penstock::config
