#include "tests/support/held_thread.hpp"

#include <linux/futex.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <bit>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/support/deadline.hpp"

namespace penstock::test {

namespace {

static_assert(sizeof(user_regs_struct) == sizeof(std::array<unsigned long long, 27>),
              "of x86-64: other machines have other registers");

bool is_wait(unsigned long long call) {
    return call == SYS_epoll_wait || call == SYS_epoll_pwait || call == SYS_epoll_pwait2;
}

bool stop(pid_t thread) {
    int status = 0;
    return ::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) == 0 &&
           ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) == 0 &&
           ::waitpid(thread, &status, __WALL) == thread && WIFSTOPPED(status);
}

user_regs_struct registers_of(pid_t thread) {
    user_regs_struct registers{};
    if (::ptrace(PTRACE_GETREGS, thread, nullptr, &registers) != 0)
        throw std::runtime_error("cannot read the registers of a worker");
    return registers;
}

void go_on(pid_t thread) {
    if (::ptrace(PTRACE_DETACH, thread, nullptr, nullptr) == 0) return;
    // Its process ends, which waits until we have seen the end of what we hold.
    wait_for([&] { return ::waitpid(thread, nullptr, __WALL | WNOHANG) != 0; });
}

// Stopped, on its way out of epoll_wait.
pid_t stop_waiting_worker(pid_t process) {
    pid_t found = 0;
    const bool stopped = wait_for([&] {
        const auto waiting = waiting_workers(process);
        if (waiting.empty() || !stop(waiting.front())) return false;
        found = waiting.front();
        if (is_wait(registers_of(found).orig_rax)) return true;
        go_on(found);  // it had woken up meanwhile
        return false;
    });
    if (!stopped) throw std::runtime_error("no worker waits in epoll_wait");
    return found;
}

pid_t stop_named(pid_t process, const std::string& name) {
    for (const auto& task :
         std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
        std::string called;
        if (!std::getline(std::ifstream(task.path() / "comm"), called) || called != name) continue;
        const pid_t thread = std::stoi(task.path().filename().string());
        if (stop(thread)) return thread;
    }
    throw std::runtime_error("no thread of the name " + name + " can be held");
}

}  // namespace

// No other thread but the main one waits in epoll_wait or its kin.
std::vector<pid_t> waiting_workers(pid_t process) {
    std::vector<pid_t> found;
    for (const auto& task :
         std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
        const pid_t thread = std::stoi(task.path().filename().string());
        unsigned long long call = 0;
        if (thread != process && std::ifstream(task.path() / "syscall") >> call && is_wait(call))
            found.push_back(thread);
    }
    return found;
}

HeldThread::HeldThread(pid_t process, const std::string& name)
    : thread_(stop_named(process, name)) {}

HeldWorker::HeldWorker(pid_t process) : HeldThread(stop_waiting_worker(process)) {}

void HeldThread::release() {
    if (thread_ != 0) go_on(std::exchange(thread_, 0));
}

DeadlockedWorker::DeadlockedWorker(pid_t process) : thread_(stop_waiting_worker(process)) {
    user_regs_struct registers = registers_of(thread_);
    registers_ = std::bit_cast<decltype(registers_)>(registers);
    // The same instruction once more, with another call: wait while the word at the top of the
    // stack is what it is. Signals do not end that, the kernel starts it again.
    const long word = ::ptrace(PTRACE_PEEKDATA, thread_, registers.rsp, nullptr);
    registers.rip -= 2;
    registers.orig_rax = ~0ULL;
    registers.rax = SYS_futex;
    registers.rdi = registers.rsp;
    registers.rsi = FUTEX_WAIT_PRIVATE;
    registers.rdx = static_cast<std::uint32_t>(word);
    registers.r10 = 0;
    ::ptrace(PTRACE_SETREGS, thread_, nullptr, &registers);
    go_on(thread_);
}

void DeadlockedWorker::release() {
    const pid_t thread = std::exchange(thread_, 0);
    if (thread == 0 || !stop(thread)) return;
    auto registers = std::bit_cast<user_regs_struct>(registers_);
    registers.orig_rax = ~0ULL;
    registers.rax = static_cast<unsigned long long>(-EINTR);
    ::ptrace(PTRACE_SETREGS, thread, nullptr, &registers);
    go_on(thread);
}

}  // namespace penstock::test
