#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/deadline.hpp"
#include "tests/support/unique_fd.hpp"

namespace penstock::test {

struct SpawnOptions {
    std::map<std::string, std::string> environment{};  // added to the test's own
    bool close_standard_fds = false;  // starts with descriptors 0, 1 and 2 closed
    bool new_session = false;         // setsid: no terminal, no parent's group
    bool own_group = false;           // a process group of its own, its descendants included
};

/// A program started by the test: its output is collected, it dies with this object, and with the
/// thread that made it. Signals go to its own pid only.
class ChildProcess {
public:
    /// argv[0] is looked up in PATH (exit status 127 if it is not there).
    ChildProcess(const std::vector<std::string>& argv, const SpawnOptions& options = {});
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;
    ~ChildProcess();

    [[nodiscard]] pid_t pid() const { return pid_; }
    void signal(int number) const;

    /// What it wrote so far.
    [[nodiscard]] std::string output() const;
    [[nodiscard]] std::string errors() const;

    /// Waits for its end; wait status, or nothing when the time was over.
    std::optional<int> wait_exit(milliseconds limit = patience);
    [[nodiscard]] bool running();
    /// Wait status, once running() or wait_exit() has seen its end.
    [[nodiscard]] std::optional<int> status() const { return status_; }

    /// Closes the reading ends: from now on the child writes into broken pipes.
    void abandon_output();

private:
    void collect();

    pid_t pid_ = -1;
    std::optional<int> status_;
    UniqueFd stdout_;
    UniqueFd stderr_;
    UniqueFd wake_;
    std::thread collector_;
    mutable std::mutex mutex_;
    std::string output_;
    std::string errors_;
};

/// Runs a program to its end; throws std::runtime_error with its output when it fails or hangs.
std::string run_program(const std::vector<std::string>& argv, milliseconds limit = 60s);

}  // namespace penstock::test
