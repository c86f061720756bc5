#include "config/interpolate.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "config/diagnostic.hpp"
#include "config/text.hpp"

namespace penstock::config {

namespace {

bool is_variable_name(std::string_view name) {
    const auto letter = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    return !name.empty() && letter(name.front()) &&
           std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

/// What `inside`, the text between the braces, stands for.
std::expected<std::string, std::string> expand(std::string_view inside,
                                               const Environment& environment) {
    const auto separator = inside.find(":-");
    const auto name = inside.substr(0, separator);
    if (!is_variable_name(name))
        return std::unexpected(
            fmt::format("{} is no name of an environment variable; the forms are "
                        "${{NAME}} and ${{NAME:-default}}",
                        quote(name)));
    if (inside.find("${") != std::string_view::npos)
        return std::unexpected("the default of ${" + std::string(name) + "} contains '${'");
    const auto value = environment(name);
    if (separator != std::string_view::npos && (!value || value->empty()))
        return std::string(inside.substr(separator + 2));
    if (!value)
        return std::unexpected(
            fmt::format("the environment variable {} is not set; write "
                        "${{{}:-default}} to give a default",
                        name, name));
    // The printed configuration must read back to the same.
    if (value->find("${") != std::string::npos || !is_utf8(*value))
        return std::unexpected(
            fmt::format("the environment variable {} is not UTF-8 or contains "
                        "'${{'",
                        name));
    return *value;
}

}  // namespace

Environment process_environment() {
    return [](std::string_view name) -> std::optional<std::string> {
        const char* value = std::getenv(std::string(name).c_str());
        if (value == nullptr) return std::nullopt;
        return value;
    };
}

std::expected<std::string, std::string> interpolate(std::string_view text,
                                                    const Environment& environment) {
    std::string out;
    for (;;) {
        const auto open = text.find("${");
        out += text.substr(0, open);
        if (open == std::string_view::npos) break;
        const auto close = text.find('}', open);
        if (close == std::string_view::npos) return std::unexpected("'${' without '}'");
        auto value = expand(text.substr(open + 2, close - open - 2), environment);
        if (!value) return std::unexpected(std::move(value.error()));
        out += *value;
        text.remove_prefix(close + 1);
    }
    // "$" before a value that starts with "{" would make a new reference.
    if (out.find("${") != std::string::npos) return std::unexpected("the result contains '${'");
    return out;
}

}  // namespace penstock::config
