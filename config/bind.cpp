#include "config/bind.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "config/value.hpp"

namespace penstock::config {

namespace {

constexpr std::string_view by_number = "fd:";
constexpr std::string_view by_name = "systemd:";

constexpr int first_fd = 3;  // where sd_listen_fds() begins
constexpr int last_fd = 1023;
constexpr std::size_t longest_name = 255;  // FDNAME_MAX of systemd

std::expected<Bind, std::string> parse_fd(std::string_view digits) {
    Bind bind;
    const auto [rest, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), bind.fd);
    // No sign and no leading zero: one socket, one spelling.
    if (error != std::errc{} || digits != std::to_string(bind.fd) || bind.fd < 0)
        return std::unexpected("has no number of a descriptor after fd:, as \"fd:3\"");
    if (bind.fd < first_fd)
        return std::unexpected(fmt::format(
            "is standard input, output or error; inherited sockets begin with \"fd:{}\"",
            first_fd));
    if (bind.fd > last_fd)
        return std::unexpected(fmt::format("is too high a number; the last is \"fd:{}\"", last_fd));
    return bind;
}

std::expected<Bind, std::string> parse_name(std::string_view name) {
    if (name.empty())
        return std::unexpected(
            "has no name after systemd:; write that of FileDescriptorName= in the .socket unit, "
            "or of the unit: \"systemd:penstock.socket\"");
    if (name.size() > longest_name)
        return std::unexpected(
            fmt::format("has a name longer than {} bytes, which systemd has not", longest_name));
    const auto is_allowed = [](char c) { return c >= ' ' && c <= '~' && c != ':'; };
    if (!std::ranges::all_of(name, is_allowed))
        return std::unexpected("has a name that systemd cannot give: printable ASCII without ':'");
    Bind bind;
    bind.systemd = name;
    return bind;
}

}  // namespace

bool Bind::looks_inherited(std::string_view text) noexcept {
    return text.starts_with(by_number) || text.starts_with(by_name);
}

std::expected<Bind, std::string> Bind::parse_inherited(std::string_view text) {
    if (text.starts_with(by_number)) return parse_fd(text.substr(by_number.size()));
    return parse_name(text.substr(std::min(text.size(), by_name.size())));
}

std::string Bind::to_string() const {
    if (fd >= 0) return fmt::format("{}{}", by_number, fd);
    if (!systemd.empty()) return fmt::format("{}{}", by_name, systemd);
    return format_endpoint(address);
}

}  // namespace penstock::config
