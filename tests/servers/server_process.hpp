#pragma once

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/child_process.hpp"
#include "tests/support/socket.hpp"

namespace penstock::test {

/// A server program in the foreground: accepts when the constructor returns, ends with this object,
/// and with the test program even if that crashes.
class ServerProcess {
public:
    struct Command {
        std::vector<std::string> argv;
        Address accepts_on;  // where to see that it runs
        int stop_signal = SIGTERM;  // its way to end at once
        std::vector<std::string> privileges{};  // more options of setpriv, to start as another user
        std::string directory = "/";  // its working directory
    };

    /// Throws std::runtime_error with the server's output when it does not come up.
    explicit ServerProcess(Command command);
    ~ServerProcess();
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;

    /// SIGKILL, as a crash: its sockets are closed by the kernel, its port refuses.
    void kill();
    /// Starts it again after kill().
    void start();

private:
    void wait_until_accepting();

    Command command_;
    std::optional<ChildProcess> child_;
};

/// The command line that runs `argv` in `directory` with these options of setpriv (util-linux).
[[nodiscard]] std::vector<std::string> with_privileges(const std::vector<std::string>& options,
                                                       const std::vector<std::string>& argv,
                                                       const std::string& directory = "/");

}  // namespace penstock::test
