#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

/// Threads that stand still. They throw std::runtime_error when that cannot be had.
namespace penstock::test {

/// The workers of a process that have nothing to do.
[[nodiscard]] std::vector<pid_t> waiting_workers(pid_t process);

/// The thread of that name of the process, held as a debugger holds one: it does not run at all.
class HeldThread {
public:
    HeldThread(pid_t process, const std::string& name);
    HeldThread(const HeldThread&) = delete;
    HeldThread& operator=(const HeldThread&) = delete;
    ~HeldThread() { release(); }

    void release();

protected:
    explicit HeldThread(pid_t stopped) : thread_(stopped) {}

private:
    pid_t thread_;
};

/// A worker of the process, held likewise.
class HeldWorker : public HeldThread {
public:
    explicit HeldWorker(pid_t process);
};

/// A worker of the process that waits for what never comes, as for a lock that nobody gives back:
/// out of epoll_wait it has got into a futex. It answers signals and goes on waiting.
class DeadlockedWorker {
public:
    explicit DeadlockedWorker(pid_t process);
    DeadlockedWorker(const DeadlockedWorker&) = delete;
    DeadlockedWorker& operator=(const DeadlockedWorker&) = delete;
    ~DeadlockedWorker() { release(); }

    /// It goes on where it was. Nothing if its process has ended.
    void release();

private:
    pid_t thread_;
    std::array<unsigned long long, 27> registers_{};  // user_regs_struct, before
};

}  // namespace penstock::test
