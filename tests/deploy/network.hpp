#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/chaos_backend.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/socket.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/support/unique_fd.hpp"

/// Machines and wires for tests of several machines: each machine is a network namespace, which the
/// kernel removes with the last that uses it. All addresses are of the ranges for documentation.
namespace penstock::test {

/// A network namespace with loopback up. Threads are in one machine at a time: what a thread starts
/// or opens while it is inside (sockets, threads, programs) stays there.
class Machine {
public:
    explicit Machine(std::string name);

    /// The calling thread is on this machine until the end of the scope.
    class Inside {
    public:
        explicit Inside(int machine);
        Inside(const Inside&) = delete;
        Inside& operator=(const Inside&) = delete;
        ~Inside();

    private:
        UniqueFd home_;
    };
    [[nodiscard]] Inside enter() const { return Inside(fd_.get()); }

    [[nodiscard]] const std::string& name() const { return name_; }
    /// A name of this namespace for `ip link ... netns NAME`.
    [[nodiscard]] std::string path() const;
    /// Runs a program here; throws with its output when it fails.
    std::string run(const std::vector<std::string>& argv) const;
    /// `ip` with these words.
    std::string ip(const std::string& words) const;
    void sysctl(const std::string& name, const std::string& value) const;
    /// A cable to `other`, both ends up.
    void wire(const std::string& port, const Machine& other, const std::string& other_port) const;

private:
    std::string name_;
    UniqueFd fd_;
};

/// A daemon on a machine, as number 1 of a process namespace of its own: nothing of what it starts
/// outlives it. It sees /run, /usr/local and files of /etc of its own: those of `root`, which holds
/// the same folders as the real root, laid over it. /usr/local/bin/penstock is the program under
/// test.
class Daemon {
public:
    Daemon(const Machine& machine, const std::filesystem::path& root,
           const std::vector<std::string>& argv);

    /// SIGKILL for it and whatever it has started.
    void kill();
    /// SIGTERM for it alone, and waits for its end.
    void terminate();
    [[nodiscard]] std::string said() const { return child_.output() + child_.errors(); }

private:
    ChildProcess child_;
};

/// Runs a program on a machine and in the same view of the files as a Daemon.
std::string run_in(const Machine& machine, const std::filesystem::path& root,
                   const std::vector<std::string>& argv);

/// What a client has been told by the server it reached.
struct Flow {
    Socket socket{};
    std::string server{};  // its name
    std::string through{};  // the address that the server saw: the balancer's

    /// Whether a question still gets its answer.
    bool lives();
};

/// A network of clients, a router, balancers and three servers:
///
///     client 192.0.2.2 --- router 198.51.100.1 --+-- lb1 .11, lb2 .12, ...
///       (and all of 10.1.0.0/16)       (bridge)  +-- app1 .21, app2 .22, app3 .23, port 8080
///
/// The servers say who they are and whom they see, then echo.
class Site {
public:
    explicit Site(int balancers);

    Machine client{"client"};
    Machine router{"router"};
    std::vector<Machine> balancers;

    /// A client of this source address; nothing when it was refused, reset or not answered within
    /// `limit`.
    [[nodiscard]] std::unique_ptr<Flow> connect(const std::string& to,
                                                const std::string& source = "192.0.2.2",
                                                const std::string& first_bytes = {},
                                                milliseconds limit = patience) const;

private:
    std::vector<Machine> apps_;
    std::vector<std::unique_ptr<ChaosBackend>> servers_;
};

/// SIGTERM, and waits until it was heard, so that the next one ends what `shutdown_delay` would go
/// on with. Nothing when it does not run.
void begin_stop(const ProxyProcess& proxy);

/// A file of deploy/.
[[nodiscard]] std::string deploy_file(const std::string& name);
/// Carries out the lines of a folder's README that begin with `install`, below `root`.
void install_as_told(const std::filesystem::path& root, const std::string& folder);

}  // namespace penstock::test
