#include "net/file_chain.hpp"

#include <deque>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.hpp"
#include "net/unique_fd.hpp"

namespace penstock::net {

namespace {

namespace fs = std::filesystem;

constexpr int most_links = 40;  // as the kernel's own limit (path_resolution(7))
constexpr off_t largest_file = 64 << 20;

void put_in_front(std::deque<std::string>& names, const fs::path& path) {
    std::deque<std::string> parts;
    for (const auto& part : path.relative_path()) parts.push_back(part.string());
    names.insert(names.begin(), parts.begin(), parts.end());
}

bool is_pattern(const std::string& name) {
    return name.find_first_of("*?[\\") != std::string::npos;
}

std::vector<std::string> matches_of(const std::string& pattern) {
    glob_t matches{};
    std::vector<std::string> found;
    if (::glob(pattern.c_str(), 0, nullptr, &matches) == 0)
        found.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
    ::globfree(&matches);
    return found;
}

}  // namespace

FileChain resolve_chain(const std::string& path) {
    FileChain chain;
    std::deque<std::string> left;
    put_in_front(left, path);
    fs::path at = "/";  // has no link in it
    int links = 0;
    while (!left.empty()) {
        const std::string name = std::move(left.front());
        left.pop_front();
        if (name.empty() || name == ".") continue;
        if (name == "..") {
            at = at.parent_path();
            continue;
        }
        chain.emplace(at.string(), name);
        std::error_code error;
        const fs::path entry = at / name;
        const auto status = fs::symlink_status(entry, error);
        if (error || status.type() == fs::file_type::not_found) break;
        if (status.type() != fs::file_type::symlink) {
            at = entry;
            continue;
        }
        const fs::path target = fs::read_symlink(entry, error);
        if (error || ++links > most_links) break;
        if (target.is_absolute()) at = "/";
        put_in_front(left, target);
    }
    return chain;
}

FileChain resolve_pattern_chain(const std::string& pattern) {
    FileChain chain;
    std::vector<std::string> directories{"/"};  // that the part so far stands for
    fs::path so_far = "/";
    for (const auto& part : fs::path(pattern).relative_path()) {
        so_far /= part;
        if (is_pattern(part.string())) {
            for (const auto& directory : directories) {
                chain.merge(resolve_chain(directory));
                chain.emplace(directory, "*");
            }
            directories = matches_of(so_far.string());
            continue;
        }
        for (auto& directory : directories) directory = (fs::path(directory) / part).string();
    }
    for (const auto& path : directories) chain.merge(resolve_chain(path));
    return chain;
}

std::uint64_t hash_of_matches(const std::string& pattern) {
    std::string names;
    for (const auto& path : matches_of(pattern)) {
        names += path;
        names += '\0';
    }
    return std::hash<std::string_view>()(names);
}

std::optional<std::uint64_t> hash_of_contents(const std::string& path) {
    // O_NONBLOCK: a FIFO must not hold the thread.
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status{};
    if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    if (status.st_size > largest_file) return std::nullopt;
    auto contents = read_to_end(fd.get(), static_cast<std::size_t>(largest_file));
    if (!contents) return std::nullopt;
    const auto hash = std::hash<std::string_view>()(*contents);
    wipe(*contents);  // keys are watched, too
    return hash;
}

}  // namespace penstock::net
