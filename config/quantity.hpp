#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "config/config.hpp"

/// Sizes and rates inside strings. Errors are sentences for the user that do not repeat the key;
/// the caller puts them after it. An empty text is an error: the caller knows whether it means "no
/// limit".
namespace penstock::config {

/// No size or byte rate of a configuration is larger: 1 PiB.
inline constexpr std::uint64_t largest_size = std::uint64_t{1} << 50U;
/// No amount or burst of a rate is larger.
inline constexpr std::uint64_t largest_amount = 1'000'000'000;

/// `250B`, `16KiB`, `1MiB`, `2GiB`: one whole number, one unit.
[[nodiscard]] std::expected<std::uint64_t, std::string> parse_size(std::string_view text);
/// The shortest text that parse_size() reads back to the same.
[[nodiscard]] std::string format_size(std::uint64_t bytes);

/// `1MiB/s`, `250B/s`: bytes per second, at least 1.
[[nodiscard]] std::expected<std::uint64_t, std::string> parse_byte_rate(std::string_view text);
/// Empty for 0, which is "no limit".
[[nodiscard]] std::string format_byte_rate(std::uint64_t bytes_per_second);

/// `100/s`, `10/m`, `10/m burst 20`, units s, m and h. Without a burst it is the amount.
[[nodiscard]] std::expected<Rate, std::string> parse_rate(std::string_view text);
/// Empty for amount 0, which is "no limit".
[[nodiscard]] std::string format_rate(const Rate& rate);

}  // namespace penstock::config
