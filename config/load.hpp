#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "config/diagnostic.hpp"
#include "config/interpolate.hpp"

namespace penstock::config {

struct LoadResult {
    /// Complete and consistent only if ok().
    Config config;
    /// Errors and warnings, ordered by file and position.
    std::vector<Diagnostic> diagnostics;
    /// Absolute paths of all files that were read, the main one first: what to watch. Standard
    /// input has none.
    std::vector<std::string> files;
    /// Absolute patterns of `include`: a file that comes to match one belongs to them, too.
    std::vector<std::string> include_patterns;

    [[nodiscard]] bool ok() const noexcept { return !has_errors(diagnostics); }
};

/// Reads the file, what it includes, and checks everything. Never throws for what a file contains.
[[nodiscard]] LoadResult load_file(const std::string& path, const Environment& environment);

/// The same for standard input or a pipe, read to its end: only while starting, or for a command.
/// Relative paths start at the working directory.
[[nodiscard]] LoadResult load_stream(int fd, std::string_view name, const Environment& environment);

/// The same for a text that is no file (standard input): `file_name` is for messages, relative
/// paths start at `base_directory`, which must be absolute.
[[nodiscard]] LoadResult load_text(std::string_view text, std::string_view file_name,
                                   std::string_view base_directory, const Environment& environment);

}  // namespace penstock::config
