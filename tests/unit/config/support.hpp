#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/load.hpp"

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

/// A directory of its own that is gone at the end of the test.
class TemporaryDirectory {
public:
    TemporaryDirectory() {
        std::string name =
            (std::filesystem::temp_directory_path() / "penstock-config-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
        path_ = name;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] std::string path(std::string_view name) const { return (path_ / name).string(); }

    /// Writes a file that only its owner may write, whatever the umask, and returns its path.
    std::string write(std::string_view name, std::string_view text) const {
        const auto file = path_ / name;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file, std::ios::binary) << text;
        std::filesystem::permissions(file, std::filesystem::perms(0644));
        return file.string();
    }

private:
    std::filesystem::path path_;
};

}  // namespace penstock::config::testing
