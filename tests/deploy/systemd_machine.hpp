#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "tests/support/child_process.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/unique_fd.hpp"

namespace penstock::test {

/// A machine of its own with a real systemd as process 1: all namespaces, a part of the tree of
/// cgroups, and this machine's files under a layer of its own, so that nothing done inside is seen
/// outside. None of the services that are enabled here run there. Needs root.
///
/// What is behind a mount of its own here (other than the root file system) is not there: copy it
/// in.
class SystemdMachine {
public:
    /// Throws std::runtime_error when systemd does not come up.
    SystemdMachine();
    SystemdMachine(const SystemdMachine&) = delete;
    SystemdMachine& operator=(const SystemdMachine&) = delete;
    ~SystemdMachine();

    struct Result {
        int status = -1;
        std::string output;  // errors included
    };
    /// Runs a script of bash inside.
    [[nodiscard]] Result attempt(const std::string& script, milliseconds limit = 60s) const;
    /// The same; throws std::runtime_error with its output unless it succeeds.
    std::string run(const std::string& script, milliseconds limit = 60s) const;

    /// A path inside, as this process reaches it.
    [[nodiscard]] std::filesystem::path path(const std::string& inside) const;
    void write(const std::string& inside, const std::string& text) const;
    void copy_in(const std::filesystem::path& from, const std::string& inside) const;

    /// While it lives, the calling thread, and what it starts, is in the machine's network.
    class Network {
    public:
        explicit Network(pid_t of);
        Network(const Network&) = delete;
        Network& operator=(const Network&) = delete;
        ~Network();

    private:
        UniqueFd home_;
    };
    [[nodiscard]] Network enter_network() const { return Network(init_); }

    /// A property of a unit, as `systemctl show` tells it.
    [[nodiscard]] std::string property(const std::string& unit, const std::string& name) const;
    /// The main process of a unit, by its number inside; 0 = none.
    [[nodiscard]] pid_t main_pid(const std::string& unit) const;

private:
    void remove_cgroup() const;

    TempDir directory_;
    std::string cgroup_;
    std::optional<ChildProcess> boot_;
    pid_t init_ = 0;
};

}  // namespace penstock::test
