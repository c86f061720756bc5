#include "config/value.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <net/if.h>

#include "config/diagnostic.hpp"

namespace penstock::config {

namespace {

using std::chrono::milliseconds;

struct Unit {
    std::string_view name;
    milliseconds length;
};

// From the longest, so that formatting finds the shortest text first.
constexpr Unit units[] = {{"h", std::chrono::hours(1)},
                          {"m", std::chrono::minutes(1)},
                          {"s", std::chrono::seconds(1)},
                          {"ms", milliseconds(1)}};
constexpr std::string_view known_units = "the units are ms, s, m and h";

constexpr std::string_view runtime_path = "unix:$RUNTIME";

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string too_long() {
    return fmt::format("is longer than {}h, ten years", longest_duration / std::chrono::hours(1));
}

/// Why `unit`, which is none, is none.
std::string explain_unit(std::string_view number, std::string_view unit) {
    if (unit.empty()) return fmt::format("has no unit: \"{}s\"? {}", number, known_units);
    if (unit.starts_with('.'))
        return "is not a whole number; take a smaller unit: \"1500ms\" for one and a half seconds";
    if (unit == "us" || unit == "ns" || unit == "µs")
        return fmt::format("is finer than a millisecond; {}", known_units);
    if (unit == "d" || unit == "w")
        return fmt::format("has the unit '{}'; {}: \"24h\" is a day", unit, known_units);
    if (std::ranges::any_of(unit, is_digit))
        return R"(takes one number and one unit: "90s", not "1m30s")";
    return fmt::format("has the unknown unit {}; {}", quote(unit), known_units);
}

std::expected<void, std::string> check_characters(std::string_view name, std::string_view others,
                                                  std::size_t longest) {
    if (name.empty()) return std::unexpected("is empty");
    if (name.size() > longest)
        return std::unexpected(
            fmt::format("is longer than {} characters ({})", longest, name.size()));
    const auto wrong = std::ranges::find_if(name, [&](char c) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        return !letter && !is_digit(c) && others.find(c) == std::string_view::npos;
    });
    if (wrong == name.end()) return {};
    const auto rest = name.substr(static_cast<std::size_t>(wrong - name.begin()));
    const bool ascii = static_cast<unsigned char>(*wrong) < 0x80;
    return std::unexpected(
        fmt::format("contains {}; a name consists of letters A-Z a-z, digits and {}",
                    ascii ? quote(rest.substr(0, 1)) : "a letter beyond ASCII", others));
}

/// A unix socket's address with its path made absolute; other addresses stay.
std::string resolve(std::string_view text, std::string_view directory) {
    constexpr std::string_view scheme = "unix:";
    const auto path = text.starts_with(scheme) ? text.substr(scheme.size()) : std::string_view();
    if (path.empty() || path.starts_with('@')) return std::string(text);
    return std::string(scheme) + absolute_path(path, directory);
}

/// Advice for what is often written in place of an address.
std::optional<std::string> explain_address(std::string_view text) {
    if (text.find("://") != std::string_view::npos)
        return "is a URL; write the address alone, without scheme and path: \"10.0.0.1:80\"";
    if (text.starts_with('/') || text.starts_with("./"))
        return fmt::format("looks like the path of a unix socket; write \"unix:{}\"", text);
    if (!text.empty() && std::ranges::all_of(text, is_digit))
        return fmt::format(
            "is a port alone; write \":{}\" to listen on all addresses, "
            "\"127.0.0.1:{}\" for one",
            text, text);
    return std::nullopt;
}

}  // namespace

std::expected<Duration, std::string> parse_duration(std::string_view text) {
    if (text.starts_with('-')) return std::unexpected("is negative");
    const auto digits =
        static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
    if (digits == 0)
        return std::unexpected(
            fmt::format("is no duration; write a number and a unit: \"30s\"; {}", known_units));
    const auto number = text.substr(0, digits);
    const auto name = text.substr(digits);
    const auto* unit = std::ranges::find(units, name, &Unit::name);
    if (unit == std::end(units)) return std::unexpected(explain_unit(number, name));
    std::uint64_t count = 0;
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), count);
    const auto most = static_cast<std::uint64_t>(
        std::chrono::duration_cast<milliseconds>(longest_duration) / unit->length);
    if (parsed.ec != std::errc{} || count > most) return std::unexpected(too_long());
    return unit->length * static_cast<std::int64_t>(count);
}

std::string format_duration(Duration duration) {
    if (duration == never) return "never";
    const auto whole = std::chrono::duration_cast<milliseconds>(duration);
    if (whole == milliseconds::zero()) return "0s";
    const auto* unit = std::ranges::find_if(
        units, [&](const Unit& u) { return whole % u.length == milliseconds::zero(); });
    return fmt::format("{}{}", whole / unit->length, unit->name);
}

std::expected<void, std::string> check_name(std::string_view name) {
    return check_characters(name, "._-", 64);
}

std::expected<void, std::string> check_backend_name(std::string_view name) {
    return check_characters(name, "._-:[]/@", 255);
}

std::expected<ServerAddress, std::string> parse_server_address(std::string_view text,
                                                               std::string_view directory) {
    if (!Endpoint::parse(text) && Endpoint::looks_like_host_name(text)) {
        const auto colon = text.rfind(':');
        std::uint16_t port = 0;
        std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
        if (port == 0) return std::unexpected("has port 0; a backend needs its real port");
        return ServerAddress{{}, std::string(text.substr(0, colon)), port};
    }
    auto endpoint = parse_backend_address(text, directory);
    if (!endpoint) return std::unexpected(std::move(endpoint.error()));
    return ServerAddress{*std::move(endpoint), {}, 0};
}

std::expected<Endpoint, std::string> parse_backend_address(std::string_view text,
                                                           std::string_view directory) {
    auto endpoint = Endpoint::parse(resolve(text, directory));
    if (!endpoint) {
        if (auto advice = explain_address(text)) return std::unexpected(*std::move(advice));
        return std::unexpected("is no address: " + endpoint.error());
    }
    if (endpoint->is_unix()) return endpoint;
    if (endpoint->port() == 0) return std::unexpected("has port 0; a backend needs its real port");
    if (endpoint->is_any_address())
        return std::unexpected(
            "means all addresses of this machine; nothing can connect to that. "
            "For this machine itself write 127.0.0.1 or [::1]");
    return endpoint;
}

std::expected<std::vector<Endpoint>, std::string> parse_bind_address(std::string_view text,
                                                                     std::string_view directory) {
    if (text.starts_with(runtime_path))
        return std::unexpected(
            "begins with $RUNTIME, which only 'bind' in [[admin.listener]] may; the environment "
            "variable of a service is ${RUNTIME_DIRECTORY}");
    if (Bind::looks_inherited(text))
        return std::unexpected(
            "is an inherited socket, which only 'bind' in [[listener]] takes; write an address: "
            "\"127.0.0.1:9901\"");
    auto endpoints = Endpoint::parse_bind(resolve(text, directory));
    if (endpoints) return endpoints;
    if (text.starts_with("*:"))
        return std::unexpected(
            fmt::format("is no address; write \"{}\" for all addresses", text.substr(1)));
    if (Endpoint::looks_like_host_name(text))
        return std::unexpected(
            "is a host name; a listener takes an address of this machine: "
            "\"0.0.0.0:80\", \"[::]:80\", or \":80\" for both");
    if (auto advice = explain_address(text)) return std::unexpected(*std::move(advice));
    return std::unexpected("is no address: " + endpoints.error());
}

std::expected<std::vector<Bind>, std::string> parse_bind(std::string_view text,
                                                         std::string_view directory) {
    if (Bind::looks_inherited(text)) {
        auto bind = Bind::parse_inherited(text);
        if (!bind) return std::unexpected(std::move(bind.error()));
        return std::vector{*std::move(bind)};
    }
    auto endpoints = parse_bind_address(text, directory);
    if (!endpoints) return std::unexpected(std::move(endpoints.error()));
    return std::vector<Bind>(endpoints->begin(), endpoints->end());
}

std::expected<std::vector<Endpoint>, std::string> parse_admin_bind_address(
    std::string_view text, std::string_view directory) {
    if (text.find("$RUNTIME") == std::string_view::npos) return parse_bind_address(text, directory);
    if (!text.starts_with(runtime_path))
        return std::unexpected(
            "has $RUNTIME in its middle; it can only begin the path of a unix socket: "
            "\"unix:$RUNTIME/admin.sock\"");
    const auto rest = text.substr(runtime_path.size());
    if (rest.empty() || rest.find_first_not_of('/') == std::string_view::npos)
        return std::unexpected(
            "is a directory; add the name of the socket: "
            "\"unix:$RUNTIME/admin.sock\"");
    if (!rest.starts_with('/'))
        return std::unexpected(
            "begins with $RUNTIME and no / after it; write \"unix:$RUNTIME/admin.sock\", or "
            "${NAME} for an environment variable");
    const std::filesystem::path path(rest);
    if (std::ranges::any_of(path, [](const auto& part) { return part == ".."; }))
        return std::unexpected("has '..' after $RUNTIME; write the path without it");
    auto endpoint =
        Endpoint::parse(fmt::format("{}{}", runtime_path, path.lexically_normal().string()));
    if (!endpoint) return std::unexpected("is no address: " + endpoint.error());
    return std::vector{*std::move(endpoint)};
}

std::expected<std::uint32_t, std::string> parse_mode(std::string_view text) {
    std::uint32_t mode = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (text.empty() || ec != std::errc{} || end != text.data() + text.size())
        return std::unexpected("is no mode; write octal digits, as \"0660\"");
    if (mode > 0777) return std::unexpected("is above 0777; a socket has no set-id or sticky bits");
    return mode;
}

std::string format_mode(std::uint32_t mode) { return fmt::format("{:04o}", mode); }

std::expected<Endpoint, std::string> parse_local_address(std::string_view text) {
    const bool ipv6 = std::ranges::count(text, ':') > 1;
    const auto endpoint =
        Endpoint::parse(ipv6 ? fmt::format("[{}]:0", text) : fmt::format("{}:0", text));
    if (endpoint && !endpoint->is_unix()) {
        if (!endpoint->is_any_address()) return *endpoint;
        return std::unexpected(
            "means any address, which the kernel chooses when there is no source_address");
    }
    if (text.starts_with("unix:"))
        return std::unexpected("is no IP address; unix sockets need none");
    if (const auto with_port = Endpoint::parse(text); with_port && !with_port->is_unix())
        return std::unexpected(fmt::format("has a port, which the kernel chooses; write \"{}\"",
                                           format_local_address(*with_port)));
    if (text.starts_with('[') && text.ends_with(']'))
        return std::unexpected("needs no brackets here");
    if (text.find('/') != std::string_view::npos)
        return std::unexpected("is a network; write single addresses of this machine");
    return std::unexpected("is no address of this machine: write for example \"10.0.0.5\"");
}

std::string format_local_address(const Endpoint& endpoint) {
    const auto text = format_endpoint(endpoint);
    const auto address = std::string_view(text).substr(0, text.rfind(':'));
    return std::string(address.starts_with('[') ? address.substr(1, address.size() - 2) : address);
}

std::string format_endpoint(const Endpoint& endpoint) {
    char name[IF_NAMESIZE];
    auto text = endpoint.to_string();
    const auto scope = endpoint.ip().scope();
    const auto percent = text.find('%');
    if (scope == 0 || percent == std::string::npos || ::if_indextoname(scope, name) == nullptr)
        return text;
    return text.replace(percent + 1, text.find(']', percent) - percent - 1, name);
}

std::string absolute_path(std::string_view path, std::string_view directory) {
    return (std::filesystem::path(directory) / path).lexically_normal().string();
}

std::expected<Endpoint, std::string> parse_name_server(std::string_view text) {
    auto endpoint = Endpoint::parse(text);
    if (!endpoint) endpoint = Endpoint::parse(fmt::format("{}:53", text));
    if (!endpoint) endpoint = Endpoint::parse(fmt::format("[{}]:53", text));
    if (!endpoint || endpoint->is_unix())
        return std::unexpected("is no address of a name server, as \"10.0.0.2:53\"");
    if (endpoint->port() == 0) return std::unexpected("has port 0; name servers have 53 mostly");
    return endpoint;
}

std::expected<StatusRange, std::string> parse_status_range(std::string_view text) {
    const auto number = [](std::string_view digits) -> std::uint16_t {
        std::uint16_t value = 0;
        const auto* end = digits.data() + digits.size();
        const auto parsed = std::from_chars(digits.data(), end, value);
        return parsed.ec == std::errc{} && parsed.ptr == end && value >= 100 && value <= 599 ? value
                                                                                             : 0;
    };
    const auto dash = text.find('-');
    const StatusRange range{number(text.substr(0, dash)),
                            number(dash == text.npos ? text : text.substr(dash + 1))};
    if (range.first == 0 || range.last == 0)
        return std::unexpected("is no status or range of them, as 200 or \"200-399\"");
    if (range.first > range.last) return std::unexpected("ends before it begins");
    return range;
}

std::string format_status_range(const StatusRange& range) {
    return range.first == range.last ? fmt::format("{}", range.first)
                                     : fmt::format("{}-{}", range.first, range.last);
}

}  // namespace penstock::config
