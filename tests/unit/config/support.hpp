#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/load.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::config::testing {

inline Environment environment_of(std::map<std::string, std::string, std::less<>> variables) {
    return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        if (found == variables.end()) return std::nullopt;
        return found->second;
    };
}

inline Environment no_environment() { return environment_of({}); }

inline LoadResult load(std::string_view text) {
    return load_text(text, "penstock.toml", "/etc/penstock", no_environment());
}

/// All diagnostics as they would be printed.
inline std::string messages(std::string_view text) { return format(load(text).diagnostics); }

/// Every message alone, with its place: `3:5 error: ...`.
inline std::vector<std::string> short_messages(const LoadResult& result) {
    std::vector<std::string> all;
    all.reserve(result.diagnostics.size());
    for (const auto& d : result.diagnostics)
        all.push_back(std::to_string(d.line) + ':' + std::to_string(d.column) + ' ' +
                      std::string(to_string(d.severity)) + ": " + d.message);
    return all;
}

inline std::vector<std::string> short_messages(std::string_view text) {
    return short_messages(load(text));
}

/// A configuration without findings; lines for the listener and the upstream can be added. The
/// listener's stand on line 5 and below, the upstream's on the line after `upstream_line`.
inline std::string valid(std::string_view listener = {}, std::string_view upstream = {},
                         std::string_view top = {}) {
    std::string text(top);
    text += "[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n";
    text += listener;
    text += "\n[[upstream]]\nname = \"app\"\nbackend = \"10.0.0.1:80\"\n";
    text += upstream;
    text += "\n";
    return text;
}

using TemporaryDirectory = test::TempDir;

}  // namespace penstock::config::testing
