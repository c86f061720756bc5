#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/origins.hpp"
#include "config/reporter.hpp"

namespace penstock::config {

/// Paths that match, sorted by bytes whatever the locale says. Any thread.
[[nodiscard]] std::vector<std::string> matching_paths(const std::string& pattern);
[[nodiscard]] bool has_wildcard(std::string_view pattern) noexcept;

struct IncludedFile {
    std::string name;  // for messages, as the pattern and the main file's name give it
    std::string path;  // absolute
    Region where;      // the pattern
};

/// Expands the patterns of `include`, each sorted by name, every file once, never the main file
/// itself. Relative patterns start at the directory of source 0. A name without a wildcard that
/// does not exist is an error at the pattern.
[[nodiscard]] std::vector<IncludedFile> expand_includes(const std::vector<std::string>& patterns,
                                                        const std::string& main_path,
                                                        const Origins& origins, Reporter& reporter);

}  // namespace penstock::config
