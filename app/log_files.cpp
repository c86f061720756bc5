#include "app/log_files.hpp"

#include <array>
#include <cerrno>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "app/process.hpp"
#include "net/log_file.hpp"

namespace penstock::app {

namespace {

struct LogFile {
    const char* key;
    const std::string& path;
};

std::array<LogFile, 2> logs_of(const config::Config& config) {
    return {{{"log.target", config.log.target}, {"access_log.target", config.access_log.target}}};
}

bool is_file(const std::string& target) { return target.starts_with('/'); }

}  // namespace

// Only what did not exist: what it is and whose, is not known of anything else.
void make_log_files(const config::Config& config) noexcept {
    if (::geteuid() != 0 || config.process.user.empty()) return;
    const auto who = find_identity(config.process.user, config.process.group);
    if (!who) return;  // switch_user() says why
    for (const auto& [key, path] : logs_of(config)) {
        if (!is_file(path)) continue;
        const net::UniqueFd fd = net::create_log_file(path);
        // Where it fails, whoever opens it says so, or log_files_of_others().
        if (fd) static_cast<void>(::fchown(fd.get(), who->uid, who->gid) == 0);
    }
}

std::vector<std::string> log_files_of_others(const config::Config& config) {
    std::vector<std::string> sentences;
    if (config.process.user.empty()) return sentences;
    for (const auto& [key, path] : logs_of(config))
        if (is_file(path) && ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0 &&
            errno == EACCES)
            sentences.push_back(fmt::format(
                "{} {}: user '{}' may not write to this file, which was there before; it cannot "
                "be opened again for a rotation (SIGUSR1) or by an upgrade: chown it",
                key, path, config.process.user));
    return sentences;
}

}  // namespace penstock::app
