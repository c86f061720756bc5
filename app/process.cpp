#include "app/process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/own_signals.hpp"
#include "base/error.hpp"

namespace penstock::app {

void fill_standard_streams() noexcept {
    for (;;) {
        const int fd = ::open("/dev/null", O_RDWR);
        if (fd < 0) return;
        if (fd <= STDERR_FILENO) continue;
        ::close(fd);
        return;
    }
}

void ignore_stray_signals() noexcept {
    static constexpr std::array strays{SIGPIPE, SIGHUP,  SIGUSR1, SIGUSR2,   SIGALRM, SIGVTALRM,
                                       SIGPROF, SIGPOLL, SIGPWR,  SIGSTKFLT, SIGCHLD, SIGWINCH};
    for (const int signal : strays) std::signal(signal, SIG_IGN);
    for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) std::signal(signal, SIG_IGN);
    // Whoever starts this process may have blocked it, and threads to come have to hear it.
    sigset_t open;
    sigemptyset(&open);
    sigaddset(&open, every_thread_signal());
    ::sigprocmask(SIG_UNBLOCK, &open, nullptr);
}

void block_signals() noexcept {
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, every_thread_signal());
    sigdelset(&all, stack_probe_signal());
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

std::string message_of(int error) {
    return std::error_code(error, std::generic_category()).message();
}

void print_line(std::string_view line) noexcept {
    const std::string whole = std::string(line) + "\n";
    std::string_view rest = whole;
    while (!rest.empty()) {
        const auto n = ::write(STDOUT_FILENO, rest.data(), rest.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        rest.remove_prefix(static_cast<std::size_t>(n));
    }
}

void close_from(int first) noexcept {
    if (::close_range(static_cast<unsigned>(first), ~0U, 0) == 0) return;
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    auto end = std::min(limit.rlim_cur, rlim_t{1} << 20U);
    if (DIR* const directory = ::opendir("/proc/self/fd"); directory != nullptr) {
        while (const dirent* entry = ::readdir(directory))
            end = std::max(end, rlim_t{1} + std::strtoul(entry->d_name, nullptr, 10));
        ::closedir(directory);
    }
    for (int fd = first; std::cmp_less(fd, end); ++fd) ::close(fd);
}

std::expected<Identity, std::string> find_identity(const std::string& user,
                                                   const std::string& group) {
    const passwd* account = user.empty() ? nullptr : ::getpwnam(user.c_str());
    if (!user.empty() && account == nullptr)
        return std::unexpected(fmt::format("process.user: there is no user '{}'", user));
    const ::group* named = group.empty() ? nullptr : ::getgrnam(group.c_str());
    if (!group.empty() && named == nullptr)
        return std::unexpected(fmt::format("process.group: there is no group '{}'", group));
    return Identity{account != nullptr ? account->pw_uid : ::geteuid(),
                    named != nullptr     ? named->gr_gid
                    : account != nullptr ? account->pw_gid
                                         : ::getegid()};
}

std::expected<void, std::string> switch_user(const std::string& user, const std::string& group) {
    if (user.empty() && group.empty()) return {};
    const auto who = find_identity(user, group);
    if (!who) return std::unexpected(who.error());
    const auto [uid, gid] = *who;
    if (uid == ::geteuid() && gid == ::getegid() && ::geteuid() != 0) return {};
    if (::geteuid() != 0)
        return std::unexpected(
            "process.user and process.group need a start as root; remove them "
            "or start as root");
    const bool switched =
        (!user.empty() ? ::initgroups(user.c_str(), gid) : ::setgroups(1, &gid)) == 0 &&
        ::setresgid(gid, gid, gid) == 0 && ::setresuid(uid, uid, uid) == 0;
    if (!switched)
        return std::unexpected(fmt::format("cannot switch to user '{}', group '{}': {}", user,
                                           group, last_error().message()));
    return {};
}

}  // namespace penstock::app
