#include "net/log_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>

namespace penstock::net {

namespace {

constexpr mode_t log_mode = 0640;

}  // namespace

UniqueFd create_log_file(const std::string& path) noexcept {
    UniqueFd created(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, log_mode));
    // Where it fails the umask has its way, which may only take from the mode.
    if (created) static_cast<void>(::fchmod(created.get(), log_mode) == 0);
    return created;
}

}  // namespace penstock::net
