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

/// A cgroup with a limit on memory, in version 1 or 2, whichever this machine has. Where nobody may
/// make cgroups, files with the same names and contents, which limit nothing.
class MemoryCgroup {
public:
    explicit MemoryCgroup(std::uint64_t bytes);
    MemoryCgroup(const MemoryCgroup&) = delete;
    MemoryCgroup& operator=(const MemoryCgroup&) = delete;
    ~MemoryCgroup();

    /// File to which a process writes itself to join; "" = none.
    [[nodiscard]] std::string members() const;
    /// What to mount at /sys/fs/cgroup.
    [[nodiscard]] const std::string& tree() const { return tree_; }

private:
    TempDir directory_;
    std::string tree_ = "/sys/fs/cgroup";
    std::string group_;
};

struct ContainerOptions {
    std::string root{};
    uid_t uid = 65532;
    gid_t gid = 65532;
    std::vector<std::string> tmpfs{"/run/penstock"};
    std::vector<std::pair<std::string, std::string>> mounts{};  // from, to; read-only inside
    std::map<std::string, std::string> environment{};
    const MemoryCgroup* cgroup = nullptr;
};

/// A program as process 1 of a container: mount and pid namespaces of its own, the network of the
/// calling thread (ScopedNetns), a read-only root, no capability, a user that is not root. Ends
/// with this object.
class Container {
public:
    Container(const std::vector<std::string>& argv, const ContainerOptions& options);

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
