#pragma once

#include <string>
#include <vector>

#include "tests/support/child_process.hpp"
#include "tests/support/temp_dir.hpp"

namespace penstock::test {

/// strace on a running process: makes system calls fail, or counts them. Attached when the
/// constructor returns; detached by the destructor, the process goes on.
class Strace {
public:
    /// expressions: e.g. {"trace=accept4", "inject=accept4:error=EMFILE:when=1..3"}
    Strace(pid_t target, const std::vector<std::string>& expressions);
    ~Strace();
    Strace(const Strace&) = delete;
    Strace& operator=(const Strace&) = delete;

    /// Lines traced so far, one per system call; only those that contain `text`.
    [[nodiscard]] std::size_t calls(const std::string& text = "") const;

private:
    TempDir directory_;
    ChildProcess child_;
};

}  // namespace penstock::test
