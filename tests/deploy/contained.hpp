#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/admin_client.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/proxy_process.hpp"
#include "tests/support/temp_dir.hpp"

/// Containers without a container engine.
namespace penstock::test {

/// What an engine limits a container to.
struct ContainerLimits {
    std::uint64_t memory = 0;  // bytes
    std::uint64_t processes = 0;  // threads count
    std::uint64_t descriptors = 0;
};

/// A cgroup with limits on memory and processes, in version 1 or 2, whichever this machine has.
/// Throws where nobody may make one: limits that are not in force would prove nothing.
class Cgroup {
public:
    explicit Cgroup(const ContainerLimits& limits);
    Cgroup(const Cgroup&) = delete;
    Cgroup& operator=(const Cgroup&) = delete;
    ~Cgroup();

    /// Files to which a process writes itself to join.
    [[nodiscard]] std::vector<std::string> members() const;
    /// What is in one of its files.
    [[nodiscard]] std::string content(const std::string& file) const;

private:
    void make(const std::string& hierarchy, const std::map<std::string, std::uint64_t>& limits);
    void remove();

    std::vector<std::string> groups_;  // of version 1 one for each kind of limit
};

struct ContainerOptions {
    std::string root{};
    uid_t uid = 65532;
    gid_t gid = 65532;
    std::vector<std::string> tmpfs{"/run/penstock"};  // PATH[:OPTIONS], as `docker run --tmpfs`
    std::vector<std::pair<std::string, std::string>> mounts{};  // from, to; read-only inside
    std::map<std::string, std::string> environment{};
    const Cgroup* cgroup = nullptr;
    // RLIMIT_NOFILE, as far as this machine lets root raise it; 0 = as it is here.
    std::uint64_t descriptors = 0;
};

/// A program as process 1 of a container: mount and pid namespaces of its own, the network of the
/// calling thread (ScopedNetns), a read-only root, no capability, a user that is not root. Ends
/// with this object.
class Container {
public:
    Container(const std::vector<std::string>& argv, const ContainerOptions& options);
    Container(const Container&) = delete;
    Container& operator=(const Container&) = delete;
    ~Container();

    /// Waits for `ready` on its standard output; throws with all it has said when it does not come.
    void wait_ready();
    /// Its process 1, as this namespace numbers it.
    [[nodiscard]] pid_t init() const { return init_; }
    void signal(int number) const;
    [[nodiscard]] std::optional<int> wait_exit(milliseconds limit = patience) {
        return process_->wait_exit(limit);
    }
    /// Another command inside, as `docker exec` and `kubectl exec` start it.
    [[nodiscard]] Finished exec(const std::vector<std::string>& argv,
                                milliseconds limit = patience) const;
    [[nodiscard]] std::string output() const { return process_->output(); }
    [[nodiscard]] std::string errors() const { return process_->errors(); }
    /// A line of /proc/PID/status.
    [[nodiscard]] std::string status(const std::string& key) const;
    /// A path inside, as seen from here.
    [[nodiscard]] std::string inside(const std::string& path) const;
    [[nodiscard]] AdminClient admin() const {
        return AdminClient("unix:" + inside("/run/penstock/admin.sock"));
    }

private:
    ContainerOptions options_;
    std::unique_ptr<ChildProcess> process_;
    pid_t init_ = -1;
};

/// The image's root with the program under test, made once in this process by
/// deploy/container/make_root.sh.
[[nodiscard]] const std::string& image_root();

/// The documents of a YAML text as one JSON array, by python3-yaml.
[[nodiscard]] std::string yaml_to_json(const std::string& yaml);

}  // namespace penstock::test
