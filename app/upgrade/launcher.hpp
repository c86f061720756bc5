#pragma once

#include <atomic>
#include <expected>
#include <optional>
#include <string>

#include <sys/types.h>

#include "app/upgrade/program.hpp"
#include "net/fd_channel.hpp"
#include "net/unique_fd.hpp"

namespace penstock::app::upgrade {

/// A small process beside the one that serves, which starts its successor: a sandbox forbids to
/// start programs, and a program that it started would be confined by it as well, once more with
/// each upgrade; and the successor of a process must not be its child, since a service manager
/// learns late, and only the last of all, when a main process ends that is not its own. It is made
/// before the sandbox closes and before there are keys in memory, has switched to the user of the
/// process, and can do one thing, start that one program with those arguments. It ends with its
/// process.
class Launcher {
public:
    /// Before there are other threads. `user`, `group`: as of switch_user(). `is_confined`: it and
    /// what it starts gain no privileges, and have only those that a start may need. The error is a
    /// sentence.
    [[nodiscard]] static std::expected<Launcher, std::string> start(const Program& program,
                                                                    const std::string& user,
                                                                    const std::string& group,
                                                                    bool is_confined);
    ~Launcher();
    Launcher(Launcher&& other) noexcept;
    Launcher& operator=(Launcher&&) = delete;

    /// A child of the launcher, which alone can learn how it ends.
    struct Started {
        pid_t pid = -1;
        net::UniqueFd pidfd{};  // readable when it has ended
    };
    /// Starts the program with the arguments and the environment that this process had, its
    /// standard streams, no signal blocked or ignored, and no other descriptor but that channel.
    /// The error is a sentence. Waits until the program has started, half a minute at most. Any
    /// thread, one at a time.
    [[nodiscard]] std::expected<Started, std::string> launch(int channel);
    /// Once what was started last has ended: how, `has ended with status 3`.
    [[nodiscard]] std::string how_it_ended();
    /// What was started serves: it becomes a child of who adopts orphans, process 1 or another
    /// service manager. From now on nothing can be launched.
    void let_go() noexcept;
    /// Any thread: this process ends soon. launch() waits for a second at most from now on.
    void hurry() noexcept { hurry_ = true; }

private:
    Launcher(net::UniqueFd fd, pid_t pid);
    void finish() noexcept;

    std::optional<net::BlockingFdChannel> channel_;  // nothing: it is of no more use
    pid_t pid_;
    std::atomic<bool> hurry_ = false;
};

}  // namespace penstock::app::upgrade
