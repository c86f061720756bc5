#include "tests/support/adopted_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "tests/support/socket.hpp"

namespace penstock::test {

namespace {

/// Wait status from what waitid() says.
int status_of(const siginfo_t& info) {
    return info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
}

/// The guard's side of fork(), in a process with other threads: async-signal-safe calls only.
[[noreturn]] void watch_over(pid_t group, int pipe) {
    if (::setpgid(0, group) != 0) ::_exit(1);  // the group is gone already
    ::dup2(pipe, 3);
    ::syscall(SYS_close_range, 4U, ~0U, 0U);
    for (int number = 1; number < SIGRTMAX; ++number) ::signal(number, SIG_IGN);
    char byte = 0;
    while (::read(3, &byte, 1) < 0 && errno == EINTR) {
    }
    ::kill(-group, SIGKILL);
    ::_exit(0);
}

}  // namespace

void become_subreaper() { ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

AdoptedProcess::AdoptedProcess(pid_t pid)
    : pid_(pid), handle_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U))) {
    if (!handle_)
        throw std::system_error(errno, std::generic_category(),
                                "pidfd_open of process " + std::to_string(pid));
}

void AdoptedProcess::signal(int number) const {
    ::syscall(SYS_pidfd_send_signal, handle_.get(), number, nullptr, 0U);
}

bool AdoptedProcess::running() const {
    pollfd entry{handle_.get(), POLLIN, 0};
    return ::poll(&entry, 1, 0) == 0;
}

AdoptedProcess::Ended AdoptedProcess::wait_exit(milliseconds limit) {
    if (status_) return {true, status_};
    if (!wait_ready(handle_.get(), POLLIN, Clock::now() + scaled(limit))) return {};
    siginfo_t info{};
    const auto kind = static_cast<idtype_t>(3);  // P_PIDFD, which glibc 2.36 has and older ones not
    if (::waitid(kind, static_cast<id_t>(handle_.get()), &info, WEXITED | WNOHANG) == 0 &&
        info.si_pid == pid_)
        status_ = status_of(info);
    return {true, status_};
}

GroupGuard::GroupGuard(pid_t group) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "pipe2");
    alive_ = UniqueFd(ends[1]);
    const UniqueFd reading(ends[0]);
    guard_ = ::fork();
    if (guard_ == 0) watch_over(group, reading.get());
}

GroupGuard::~GroupGuard() {
    alive_.close();
    if (guard_ > 0) ::waitpid(guard_, nullptr, 0);
}

}  // namespace penstock::test
