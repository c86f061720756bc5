#include "app/client/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include <fmt/format.h>

#include "app/with_commas.hpp"
#include "config/text.hpp"

namespace penstock::app::client {

namespace {

struct Range {
    char32_t first;
    char32_t last;
};

// The blocks that occur in names and messages; a terminal that disagrees on a rare one is off by a
// column in that line.
constexpr std::array zero_width{
    Range{0x0300, 0x036F}, Range{0x0483, 0x0489}, Range{0x0591, 0x05BD},
    Range{0x064B, 0x065F}, Range{0x200B, 0x200D}, Range{0x20D0, 0x20FF},
    Range{0xFE00, 0xFE0F}, Range{0xFE20, 0xFE2F}, Range{0xFEFF, 0xFEFF}};
constexpr std::array double_width{
    Range{0x1100, 0x115F},   Range{0x2E80, 0x303E},   Range{0x3041, 0xA4CF},  Range{0xAC00, 0xD7A3},
    Range{0xF900, 0xFAFF},   Range{0xFE30, 0xFE6F},   Range{0xFF00, 0xFF60},  Range{0xFFE0, 0xFFE6},
    Range{0x1F300, 0x1F64F}, Range{0x1F900, 0x1F9FF}, Range{0x20000, 0x3FFFD}};

template <class Ranges>
bool is_in(const Ranges& ranges, char32_t value) noexcept {
    return std::ranges::any_of(
        ranges, [value](const Range& r) { return value >= r.first && value <= r.last; });
}

/// Of a valid character.
char32_t code_point(std::string_view character) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(character[i]); };
    if (character.size() == 1) return byte(0);
    auto value = static_cast<char32_t>(byte(0) & (0xFFU >> (character.size() + 1)));
    for (std::size_t i = 1; i < character.size(); ++i) value = (value << 6U) | (byte(i) & 0x3FU);
    return value;
}

std::size_t width_of(std::string_view character) noexcept {
    const char32_t value = code_point(character);
    if (value < 0x300) return 1;
    if (is_in(zero_width, value)) return 0;
    return is_in(double_width, value) ? 2 : 1;
}

std::string one_decimal_below_10(double value) {
    std::string text = fmt::format("{:.1f}", value);
    if (value >= 9.95 || text.ends_with(".0"))
        text = with_commas(static_cast<std::uint64_t>(std::lround(value)));
    return text;
}

}  // namespace

std::string sanitised(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const auto character = text.substr(0, config::character_size(text));
        if (config::is_printable(character))
            out += character;
        else
            for (const char c : character)
                out += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
        text.remove_prefix(character.size());
    }
    return out;
}

std::size_t display_width(std::string_view text) noexcept {
    std::size_t width = 0;
    while (!text.empty()) {
        const auto character = text.substr(0, config::character_size(text));
        width += width_of(character);
        text.remove_prefix(character.size());
    }
    return width;
}

std::string cut_to(std::string_view text, std::size_t width) {
    if (display_width(text) <= width) return std::string(text);
    if (width == 0) return {};
    std::string out;
    std::size_t taken = 0;
    while (!text.empty()) {
        const auto character = text.substr(0, config::character_size(text));
        taken += width_of(character);
        if (taken > width - 1) break;
        out += character;
        text.remove_prefix(character.size());
    }
    return out + "…";
}

std::string format_figure(double value) {
    if (!std::isfinite(value) || value < 0 || value > 1e18) return "-";
    return one_decimal_below_10(value);
}

std::string format_bytes(double bytes) {
    if (!std::isfinite(bytes) || bytes < 0) return "-";
    static constexpr std::array units{"B", "kB", "MB", "GB", "TB", "PB"};
    std::size_t unit = 0;
    // 999.5 would be written as 1,000 of its unit.
    for (; bytes >= 999.5 && unit + 1 < units.size(); ++unit) bytes /= 1000;
    return fmt::format("{} {}", unit == 0 ? fmt::format("{:.0f}", bytes) : format_figure(bytes),
                       units.at(unit));
}

std::string format_byte_rate(double bytes_per_s) {
    const auto text = format_bytes(bytes_per_s);
    return text == "-" ? text : text + "/s";
}

std::string format_seconds(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e15) return "-";
    if (seconds < 9.95) return one_decimal_below_10(seconds) + "s";
    const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
    const auto pair = [](std::uint64_t large, char unit, std::uint64_t small, char small_unit) {
        return small == 0 ? fmt::format("{}{}", large, unit)
                          : fmt::format("{}{}{}{}", large, unit, small, small_unit);
    };
    if (whole < 60) return fmt::format("{}s", whole);
    if (whole < 3600) return pair(whole / 60, 'm', whole % 60, 's');
    if (whole < 86400) return pair(whole / 3600, 'h', whole % 3600 / 60, 'm');
    return pair(whole / 86400, 'd', whole % 86400 / 3600, 'h');
}

std::string format_milliseconds(double ms) {
    if (!std::isfinite(ms) || ms < 0) return "-";
    if (ms >= 999.5) return format_figure(ms / 1000) + " s";
    if (ms != 0 && ms < 0.995) return fmt::format("{:.2f} ms", ms);
    return format_figure(ms) + " ms";
}

std::string format_share(double share) { return format_figure(share * 100) + " %"; }

std::string time_of_day(std::string_view time) {
    return time.size() >= 19 && time[10] == 'T' ? std::string(time.substr(11, 8))
                                                : std::string(time);
}

std::string date_and_time(std::string_view time) {
    return time.size() >= 19 && time[10] == 'T'
               ? fmt::format("{} {}", time.substr(0, 10), time.substr(11, 8))
               : std::string(time);
}

std::string counted(double n, std::string_view what) {
    return fmt::format("{} {}{}", format_figure(n), what, n == 1 ? "" : "s");
}

}  // namespace penstock::app::client
