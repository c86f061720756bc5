#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

/// Texts and figures as a terminal shows them.
namespace penstock::app::client {

/// Safe for a terminal, on one line: control characters, those that turn the direction of writing
/// and broken bytes become `\x1b`. Everything from the API passes through here.
[[nodiscard]] std::string sanitised(std::string_view text);

/// Columns of a terminal that a sanitised `text` takes: none for combining characters, two for wide
/// ones.
[[nodiscard]] std::size_t display_width(std::string_view text) noexcept;

/// At most `width` columns, the last one `…` if something was cut off.
[[nodiscard]] std::string cut_to(std::string_view text, std::size_t width);

/// 1204.0 -> `1,204`; below 10 with one decimal if there is one: `3.1`.
[[nodiscard]] std::string format_figure(double value);
/// `512 B`, `1.5 kB`, `88 MB`: powers of 1,000.
[[nodiscard]] std::string format_bytes(double bytes);
/// `88 MB/s`.
[[nodiscard]] std::string format_byte_rate(double bytes_per_s);
/// The two largest units: `0.4s`, `8s`, `3m12s`, `2h5m`, `12d4h`.
[[nodiscard]] std::string format_seconds(double seconds);
/// `0.23 ms`, `1.1 ms`, `310 ms`, `4.2 s`.
[[nodiscard]] std::string format_milliseconds(double ms);
/// 0.31 -> `31 %`; one decimal below 10 %.
[[nodiscard]] std::string format_share(double share);
/// The time of day of an RFC 3339 time, in UTC as it came: `12:01:07`. Another text stays itself.
[[nodiscard]] std::string time_of_day(std::string_view time);
/// `2026-11-28 12:01:07`.
[[nodiscard]] std::string date_and_time(std::string_view time);

/// `1 session`, `1,204 sessions`.
[[nodiscard]] std::string counted(double n, std::string_view what);

}  // namespace penstock::app::client
