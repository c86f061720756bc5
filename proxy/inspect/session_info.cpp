#include "proxy/inspect/session_info.hpp"

#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace penstock::proxy {

namespace {

constexpr std::size_t digits = 16;

std::optional<std::uint64_t> parse_half(std::string_view text) noexcept {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::string_view name_of(Activity activity) noexcept {
    static constexpr std::array<std::string_view, 6> names{"connecting", "queued",   "held",
                                                           "handshake",  "relaying", "half_closed"};
    return names[std::to_underlying(activity)];
}

std::string to_string(const ConnectionId& id) {
    return fmt::format("{:016x}{:016x}", id.process, id.sequence);
}

std::optional<ConnectionId> parse_connection_id(std::string_view text) noexcept {
    if (text.size() != 2 * digits) return std::nullopt;
    const auto process = parse_half(text.substr(0, digits));
    const auto sequence = parse_half(text.substr(digits));
    if (!process || !sequence) return std::nullopt;
    return ConnectionId{*process, *sequence};
}

}  // namespace penstock::proxy
