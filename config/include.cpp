#include "config/include.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <glob.h>

#include "config/diagnostic.hpp"
#include "config/value.hpp"

namespace penstock::config {

std::vector<std::string> matching_paths(const std::string& pattern) {
    glob_t matches{};
    std::vector<std::string> paths;
    if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &matches) == 0)
        paths.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
    ::globfree(&matches);
    std::ranges::sort(paths);
    return paths;
}

bool has_wildcard(std::string_view pattern) noexcept {
    return pattern.find_first_of("*?[") != std::string_view::npos;
}

namespace {

/// `path` as the user would write it: relative to where the main file was named from.
std::string display_name(const std::string& path, const Source& main) {
    const auto relative = std::filesystem::path(path).lexically_relative(main.directory());
    if (relative.empty() || *relative.begin() == "..") return path;
    return (std::filesystem::path(main.name()).parent_path() / relative).string();
}

void report_no_match(const std::string& pattern, const std::string& absolute, Region where,
                     Reporter& reporter) {
    if (!has_wildcard(pattern))
        return reporter.error(where,
                              fmt::format("'include': there is no file {}", quote(absolute)));
    const auto directory = std::filesystem::path(absolute).parent_path();
    std::error_code ignored;
    if (!has_wildcard(directory.string()) && !std::filesystem::is_directory(directory, ignored))
        reporter.warning(
            where, fmt::format("'include': there is no directory {}", quote(directory.string())));
}

}  // namespace

std::vector<IncludedFile> expand_includes(const std::vector<std::string>& patterns,
                                          const std::string& main_path, const Origins& origins,
                                          Reporter& reporter) {
    std::vector<IncludedFile> files;
    std::set<std::string> seen;
    for (std::size_t i = 0; i < patterns.size(); ++i) {
        const auto* place = origins.find(fmt::format("include[{}]", i));
        const auto at = place == nullptr ? Region{} : *place;
        const auto& main = reporter.source(0);
        if (patterns[i].empty()) {
            reporter.error(at, "'include': the pattern is empty");
            continue;
        }
        const auto absolute = absolute_path(patterns[i], main.directory());
        const auto paths = matching_paths(absolute);
        if (paths.empty()) report_no_match(patterns[i], absolute, at, reporter);
        for (const auto& path : paths)
            if (path != main_path && seen.insert(path).second)
                files.push_back({display_name(path, main), path, at});
    }
    return files;
}

}  // namespace penstock::config
