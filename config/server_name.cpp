#include "config/server_name.hpp"

#include <algorithm>
#include <cstddef>

#include <fmt/format.h>

namespace penstock::config {

namespace {

constexpr std::size_t longest_name = 253;
constexpr std::size_t longest_label = 63;

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_label_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

std::string lower(std::string_view text) {
    std::string out(text);
    for (auto& c : out)
        if (is_upper(c)) c = static_cast<char>(c - 'A' + 'a');
    return out;
}

/// What is often written in place of a name.
std::expected<void, std::string> check_characters(std::string_view name) {
    if (std::ranges::any_of(name, is_upper))
        return std::unexpected(fmt::format("is not in lower case; write \"{}\"", lower(name)));
    if (std::ranges::any_of(name, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
        return std::unexpected(
            "contains a letter beyond ASCII; write the form that starts with \"xn--\"");
    if (name.find("://") != std::string_view::npos)
        return std::unexpected("is a URL; write the name alone");
    if (name.find(':') != std::string_view::npos)
        return std::unexpected("contains a colon; write the name without a port");
    return {};
}

}  // namespace

std::expected<void, std::string> check_server_name(std::string_view name) {
    if (name.empty()) return std::unexpected("is empty");
    if (const auto characters = check_characters(name); !characters) return characters;
    if (name.ends_with('.')) return std::unexpected("ends with a dot; write it without");
    if (name.size() > longest_name)
        return std::unexpected(fmt::format("is longer than {} characters", longest_name));
    auto rest = name;
    if (rest.starts_with("*.")) rest.remove_prefix(2);
    if (rest.find('*') != std::string_view::npos)
        return std::unexpected(
            "has a * that is not its whole first label; \"*.example.com\" is what "
            "there is");
    while (true) {
        const auto label = rest.substr(0, rest.find('.'));
        if (label.empty() || label.size() > longest_label)
            return std::unexpected(label.empty() ? "has an empty label between dots"
                                                 : "has a label of more than 63 characters");
        if (!std::ranges::all_of(label, is_label_character))
            return std::unexpected("is no host name: letters, digits, '-', '_' and dots make one");
        if (label.size() == rest.size()) return {};
        rest.remove_prefix(label.size() + 1);
    }
}

}  // namespace penstock::config
