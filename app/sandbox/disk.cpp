#include <filesystem>
#include <system_error>
#include <utility>

#include <glob.h>
#include <sys/stat.h>

#include "app/sandbox/rules.hpp"

namespace penstock::app::sandbox {

namespace fs = std::filesystem;

namespace {

std::string resolve(const std::string& path) {
    std::error_code error;
    auto real = fs::weakly_canonical(path, error);
    return error || real.empty() ? fs::path(path).lexically_normal().string() : real.string();
}

bool is_special(const std::string& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) &&
           !S_ISDIR(status.st_mode);
}

std::vector<std::string> expand(const std::string& pattern) {
    std::vector<std::string> files;
    glob_t found{};
    if (::glob(pattern.c_str(), 0, nullptr, &found) == 0)
        files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
    return files;
}

std::vector<std::string> links_on(const std::string& path) {
    std::vector<std::string> directories;
    std::error_code error;
    fs::path way;
    for (const auto& part : fs::path(path)) {
        way /= part;
        if (!fs::is_symlink(way, error)) continue;
        directories.push_back(resolve(way.parent_path().string()));
        way = fs::path(resolve(way.string()));
    }
    return directories;
}

std::optional<Identity> identify(const std::string& path) {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return std::nullopt;
    return Identity{status.st_dev, status.st_ino};
}

}  // namespace

Disk this_disk(std::optional<std::string> runtime_directory) {
    return {resolve, is_special, expand, links_on, identify, std::move(runtime_directory)};
}

}  // namespace penstock::app::sandbox
