#include "config/quantity.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "config/diagnostic.hpp"

namespace penstock::config {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view digits_of(std::string_view text) {
    return {text.begin(), std::ranges::find_if_not(text, is_digit)};
}

/// `most + 1` for every number above `most`, however long.
std::uint64_t number_up_to(std::string_view digits, std::uint64_t most) {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return parsed.ec == std::errc{} ? std::min(value, most + 1) : most + 1;
}

bool same_letters(std::string_view a, std::string_view b) {
    const auto lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    return std::ranges::equal(a, b, {}, lower, lower);
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
    return std::ranges::any_of(words, [&](auto known) { return same_letters(word, known); });
}

/// For words that stand for "no limit" elsewhere.
std::optional<std::string> explain_no_limit(std::string_view text) {
    if (text.empty() || is_one_of(text, {"off", "none", "never", "unlimited", "infinite", "inf",
                                         "no", "0", "0/s", "0B/s"}))
        return R"(is no rate; for no limit write "")";
    return std::nullopt;
}

struct SizeUnit {
    std::string_view name;
    unsigned shift;
};

// From the largest, so that formatting finds the shortest text first.
constexpr SizeUnit size_units[] = {{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}};
constexpr std::string_view known_sizes = "the units are B, KiB, MiB and GiB";

std::string explain_size_unit(std::string_view number, std::string_view unit) {
    if (unit.empty()) return fmt::format("has no unit: \"{}KiB\"? {}", number, known_sizes);
    if (unit.starts_with('.')) return "is not a whole number; take a smaller unit";
    if (unit.find("bit") != std::string_view::npos || unit.ends_with("bps"))
        return fmt::format("counts bits; write bytes, an eighth of it: {}", known_sizes);
    for (const auto& known : size_units)
        if (is_one_of(unit, {known.name, known.name.substr(0, 1)}) ||
            (unit.size() == 2 && same_letters(unit, std::string{known.name[0], 'B'})))
            return fmt::format("has the unknown unit {}; did you mean \"{}{}\"? {}", quote(unit),
                               number, known.name, known_sizes);
    return fmt::format("has the unknown unit {}; {}", quote(unit), known_sizes);
}

struct RateUnit {
    std::string_view name;
    std::chrono::seconds length;
};

constexpr RateUnit rate_units[] = {
    {"s", std::chrono::seconds(1)}, {"m", std::chrono::minutes(1)}, {"h", std::chrono::hours(1)}};
constexpr std::string_view known_rates = "it is a number per s, m or h";

std::optional<std::string_view> meant_rate_unit(std::string_view unit) {
    if (is_one_of(unit, {"s", "1s", "sec", "second", "seconds"})) return "s";
    if (is_one_of(unit, {"m", "1m", "min", "minute", "minutes", "60s"})) return "m";
    if (is_one_of(unit, {"h", "1h", "hr", "hour", "hours", "60m", "3600s"})) return "h";
    return std::nullopt;
}

std::string explain_rate(std::string_view number, std::string_view rest) {
    if (number.empty()) return R"(is no rate; write for example "100/s" or "10/m burst 20")";
    if (rest.empty()) return fmt::format("has no unit: \"{}/s\"? {}", number, known_rates);
    if (rest.starts_with('.'))
        return "is not a whole number; take a longer unit: \"90/m\" for one and a half per second";
    auto unit = rest;
    if (same_letters(unit.substr(0, 1), "r")) unit.remove_prefix(1);  // nginx: 10r/s
    if (unit.starts_with('/')) unit.remove_prefix(1);
    if (const auto meant = meant_rate_unit(unit))
        return fmt::format("is no rate; did you mean \"{}/{}\"?", number, *meant);
    if (rest.starts_with('/'))
        return fmt::format("has the unknown unit {}; {}", quote(rest.substr(1)), known_rates);
    return fmt::format("is no rate; {}: \"{}/s\"", known_rates, number);
}

std::expected<std::uint64_t, std::string> parse_amount(std::string_view digits) {
    const auto amount = number_up_to(digits, largest_amount);
    if (amount > largest_amount)
        return std::unexpected(fmt::format("is out of range: numbers go up to {}", largest_amount));
    return amount;
}

/// The number behind `burst`; `text` starts after the rate itself.
std::expected<std::uint64_t, std::string> parse_burst(std::string_view text) {
    constexpr std::string_view word = " burst ";
    const auto digits = text.starts_with(word) ? text.substr(word.size()) : std::string_view();
    if (digits.empty() || digits_of(digits).size() != digits.size())
        return std::unexpected(
            fmt::format("goes on with {}; only \" burst 20\" may follow, the number that may come "
                        "at once",
                        quote(text)));
    const auto burst = parse_amount(digits);
    if (burst && *burst == 0) return std::unexpected("has burst 0, which would let nobody in");
    return burst;
}

}  // namespace

std::expected<std::uint64_t, std::string> parse_size(std::string_view text) {
    if (text.starts_with('-')) return std::unexpected("is negative");
    const auto number = digits_of(text);
    if (number.empty())
        return std::unexpected(
            fmt::format("is no size; write a number and a unit: \"64KiB\"; {}", known_sizes));
    const auto name = text.substr(number.size());
    const auto* unit = std::ranges::find(size_units, name, &SizeUnit::name);
    if (unit == std::end(size_units)) return std::unexpected(explain_size_unit(number, name));
    const auto most = largest_size >> unit->shift;
    const auto count = number_up_to(number, most);
    if (count > most) return std::unexpected(fmt::format("is above {}", format_size(largest_size)));
    return count << unit->shift;
}

std::string format_size(std::uint64_t bytes) {
    const auto* unit = std::ranges::find_if(size_units, [&](const SizeUnit& u) {
        return u.shift == 0 || (bytes != 0 && bytes % (std::uint64_t{1} << u.shift) == 0);
    });
    return fmt::format("{}{}", bytes >> unit->shift, unit->name);
}

std::expected<std::uint64_t, std::string> parse_byte_rate(std::string_view text) {
    if (auto advice = explain_no_limit(text)) return std::unexpected(*std::move(advice));
    if (text.starts_with('-')) return std::unexpected("is negative");
    const auto number = digits_of(text);
    const auto slash = text.find('/');
    if (number.empty())
        return std::unexpected(R"(is no rate; write bytes per second: "1MiB/s", "250B/s")");
    const auto bytes = parse_size(text.substr(0, slash));
    if (!bytes) return std::unexpected(bytes.error() + ", per second: \"1MiB/s\"");
    if (slash == std::string_view::npos)
        return std::unexpected(fmt::format("says not in which time; write \"{}/s\"", text));
    if (text.substr(slash) != "/s")
        return std::unexpected(
            fmt::format("is no rate per second; write \"{}/s\"", text.substr(0, slash)));
    if (*bytes == 0) return std::unexpected(R"(would let nothing through; for no limit write "")");
    return bytes;
}

std::string format_byte_rate(std::uint64_t bytes_per_second) {
    return bytes_per_second == 0 ? std::string() : format_size(bytes_per_second) + "/s";
}

std::expected<Rate, std::string> parse_rate(std::string_view text) {
    if (auto advice = explain_no_limit(text)) return std::unexpected(*std::move(advice));
    if (text.starts_with('-')) return std::unexpected("is negative");
    const auto number = digits_of(text);
    const auto rest = text.substr(number.size());
    const auto unit_end = std::min(rest.find(' '), rest.size());
    const auto* unit = std::ranges::find_if(rate_units, [&](const RateUnit& known) {
        return unit_end == 2 && rest[0] == '/' && rest.substr(1, 1) == known.name;
    });
    if (number.empty() || unit == std::end(rate_units))
        return std::unexpected(explain_rate(number, rest));
    const auto amount = parse_amount(number);
    if (!amount) return std::unexpected(amount.error());
    if (*amount == 0) return std::unexpected(R"(would let nobody in; for no limit write "")");
    const auto further = rest.substr(unit_end);
    const auto burst = further.empty() ? amount : parse_burst(further);
    if (!burst) return std::unexpected(burst.error());
    return Rate{.amount = *amount, .per = unit->length, .burst = *burst};
}

std::string format_rate(const Rate& rate) {
    if (rate.amount == 0) return {};
    const auto* unit = std::ranges::find_if(
        rate_units, [&](const RateUnit& known) { return rate.per == known.length; });
    auto text = fmt::format("{}/{}", rate.amount, unit->name);
    if (rate.burst != rate.amount) text += fmt::format(" burst {}", rate.burst);
    return text;
}

}  // namespace penstock::config
