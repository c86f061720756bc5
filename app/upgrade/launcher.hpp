#pragma once

#include <expected>
#include <string>

#include <sys/types.h>

#include "app/upgrade/program.hpp"
#include "net/unique_fd.hpp"

namespace penstock::app::upgrade {

/// A small process beside a sandboxed one, which starts its successor: the sandbox forbids to start
/// programs, and a program that it started would be confined by it as well, once more with each
/// upgrade. It is made before the sandbox closes and before there are keys in memory, has switched
/// to the user of the process, and can do one thing, start that one program with those arguments.
/// It ends with its process.
class Launcher {
public:
    /// Before there are other threads. `user`, `group`: as of switch_user(). `is_confined`: it and
    /// what it starts gain no privileges. The error is a sentence.
    [[nodiscard]] static std::expected<Launcher, std::string> start(const Program& program,
                                                                    const std::string& user,
                                                                    const std::string& group,
                                                                    bool is_confined);
    ~Launcher();
    Launcher(Launcher&& other) noexcept;
    Launcher& operator=(Launcher&&) = delete;

    /// As NewProcess::start() demands: the new process is a child of this one, not of the
    /// launcher. Its channel is that descriptor. The error is a sentence. Waits until the program
    /// has started, half a minute at most.
    [[nodiscard]] std::expected<pid_t, std::string> launch(int channel);

private:
    Launcher(net::UniqueFd fd, pid_t pid) noexcept : fd_(std::move(fd)), pid_(pid) {}

    net::UniqueFd fd_;
    pid_t pid_;
};

}  // namespace penstock::app::upgrade
