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
/// each upgrade; and systemd gives no time to end to a main process that is another one's child, as
/// each successor is at first, unless there is one more process in its service. It is made before
/// the sandbox closes and before there are keys in memory, has switched to the user of the process,
/// and can do one thing, start that one program with those arguments. It ends with its process.
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

    /// Starts the program with the arguments and the environment that this process had, its
    /// standard streams, no signal blocked or ignored, and no other descriptor but that channel. It
    /// is a child of this process, not of the launcher. The error is a sentence. Waits until the
    /// program has started, half a minute at most. Any thread, one at a time.
    [[nodiscard]] std::expected<pid_t, std::string> launch(int channel);
    /// Any thread: this process ends soon. launch() waits for a second at most from now on.
    void hurry() noexcept { hurry_ = true; }

private:
    Launcher(net::UniqueFd fd, pid_t pid);

    std::optional<net::BlockingFdChannel> channel_;  // nothing: it is of no more use
    pid_t pid_;
    std::atomic<bool> hurry_ = false;
};

}  // namespace penstock::app::upgrade
