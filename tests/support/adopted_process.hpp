#pragma once

#include <sys/types.h>

#include <optional>

#include "tests/support/deadline.hpp"
#include "tests/support/unique_fd.hpp"

namespace penstock::test {

/// From now on, orphans among this process's descendants become its children, so that it can learn
/// how they ended. Who waits for its own children by their pids does not notice.
void become_subreaper();

/// A process that a program under test has started itself: its parent is that program, and this
/// process (become_subreaper) once the parent has ended.
class AdoptedProcess {
public:
    /// Throws std::system_error when there is no such process.
    explicit AdoptedProcess(pid_t pid);
    AdoptedProcess(AdoptedProcess&&) noexcept = default;
    AdoptedProcess& operator=(AdoptedProcess&&) noexcept = default;

    [[nodiscard]] pid_t pid() const { return pid_; }
    /// To exactly this process, whoever may have got its number since.
    void signal(int number) const;
    [[nodiscard]] bool running() const;

    struct Ended {
        bool ended = false;
        std::optional<int> status{};  // wait status; unknown where a live parent has taken it
    };
    Ended wait_exit(milliseconds limit = patience);

private:
    pid_t pid_;
    UniqueFd handle_;
    std::optional<int> status_{};
};

/// Kills every process of a group (of this session) when this object or this process is gone, also
/// when this process is killed: what has been started by something that was started would otherwise
/// stay. A process of its own, and a member of the group, whose number thus stays taken.
class GroupGuard {
public:
    explicit GroupGuard(pid_t group);
    GroupGuard(const GroupGuard&) = delete;
    GroupGuard& operator=(const GroupGuard&) = delete;
    ~GroupGuard();

private:
    UniqueFd alive_;
    pid_t guard_ = -1;
};

}  // namespace penstock::test
