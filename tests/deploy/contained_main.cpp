// What a container runtime does between its namespaces and the program, for machines without one:
//
//   unshare --mount --pid --fork penstock_test_contained ROOT UID GID [--tmpfs PATH[:OPTIONS]]
//           [--mount FROM:TO] [--cgroup FILE] [--descriptors N] -- PROGRAM [ARGUMENT...]
//
// Mounts ROOT read-only with /proc, /dev, and the given mounts, read-only as well; goes into it for
// good; joins the cgroups whose lists of processes are the FILEs; may have N descriptors; gives up
// root, every capability and the way to get one; becomes PROGRAM with the environment as it is.
// Runs as process 1 of its namespace.
#include <fcntl.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Plan {
    std::string root;
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<std::pair<std::string, std::string>> memory{};  // tmpfs: where, options of mount(8)
    std::vector<std::pair<std::string, std::string>> mounts{};  // from, to
    std::vector<std::string> cgroups{};
    rlim_t descriptors = 0;  // 0 = as it is
    std::vector<char*> argv{};  // ends with a null pointer
};

void check(int result, const std::string& what) {
    if (result != 0) throw std::runtime_error(what + ": " + std::strerror(errno));
}

Plan plan_of(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 5) throw std::runtime_error("ROOT UID GID [OPTIONS] -- PROGRAM are missing");
    Plan plan{.root = words[0],
              .uid = static_cast<uid_t>(std::stoul(words[1])),
              .gid = static_cast<gid_t>(std::stoul(words[2]))};
    std::size_t at = 3;
    for (; at + 1 < words.size() && words[at] != "--"; at += 2) {
        const auto& value = words[at + 1];
        if (words[at] == "--tmpfs") {
            const auto colon = value.find(':');
            plan.memory.emplace_back(value.substr(0, colon),
                                     colon == std::string::npos ? "" : value.substr(colon + 1));
        } else if (words[at] == "--mount") {
            const auto colon = value.find(':');
            plan.mounts.emplace_back(value.substr(0, colon), value.substr(colon + 1));
        } else if (words[at] == "--cgroup") {
            plan.cgroups.push_back(value);
        } else if (words[at] == "--descriptors") {
            plan.descriptors = std::stoull(value);
        } else {
            throw std::runtime_error("what is " + words[at] + "?");
        }
    }
    for (std::size_t i = at + 2; i <= static_cast<std::size_t>(argc); ++i) {
        plan.argv.push_back(argv[i]);  // the last one is null
    }
    if (plan.argv.size() < 2) throw std::runtime_error("no program");
    return plan;
}

/// Whatever is mounted at `to` must have something to be mounted on.
void make_place(const fs::path& from, const fs::path& to) {
    if (fs::is_directory(from)) {
        fs::create_directories(to);
        return;
    }
    fs::create_directories(to.parent_path());
    std::ofstream(to, std::ios::app).flush();
}

void bind(const std::string& from, const std::string& to, unsigned long flags) {
    make_place(from, to);
    check(::mount(from.c_str(), to.c_str(), nullptr, MS_BIND | MS_REC, nullptr), "mount " + to);
    check(::mount(nullptr, to.c_str(), nullptr, MS_REMOUNT | MS_BIND | flags, nullptr),
          "mount again " + to);
}

/// As runc and crun do it: it has the mode of what it hides, but not the owner, if the options say
/// nothing else.
void mount_memory(const std::string& at, const std::string& options) {
    fs::create_directories(at);
    struct stat hidden{};
    check(::stat(at.c_str(), &hidden), at);
    std::ostringstream data;
    data << "size=1m,mode=" << std::oct << (hidden.st_mode & 07777U);
    if (!options.empty()) data << "," << options;
    check(::mount("tmpfs", at.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, data.str().c_str()),
          "tmpfs " + at);
}

void mount_all(const Plan& plan) {
    check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "private mounts");
    check(::mount(plan.root.c_str(), plan.root.c_str(), nullptr, MS_BIND, nullptr), "the root");
    check(::mount("proc", (plan.root + "/proc").c_str(), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                  nullptr),
          "/proc");
    mount_memory(plan.root + "/dev", "mode=755");
    for (const auto* device : {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"})
        bind(device, plan.root + device, MS_NOSUID | MS_NOEXEC);
    for (const auto& [at, options] : plan.memory) mount_memory(plan.root + at, options);
    for (const auto& [from, to] : plan.mounts)
        bind(from, plan.root + to, MS_RDONLY | MS_NOSUID | MS_NODEV);
    check(::mount(nullptr, plan.root.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID,
                  nullptr),
          "a root that is only read");
}

void enter(const Plan& plan) {
    for (const auto& cgroup : plan.cgroups) {
        std::ofstream members(cgroup);
        members << ::getpid() << std::flush;
        if (!members) throw std::runtime_error("cannot join " + cgroup);
    }
    if (plan.descriptors > 0) {
        rlimit limit{};
        check(::getrlimit(RLIMIT_NOFILE, &limit), "the limit of descriptors");
        const rlimit wanted{plan.descriptors, plan.descriptors};
        // Only CAP_SYS_RESOURCE, which root of a machine need not have, goes above the hard limit.
        if (::setrlimit(RLIMIT_NOFILE, &wanted) != 0) {
            if (errno != EPERM || limit.rlim_max > plan.descriptors)
                check(-1, "the limit of descriptors");
            limit.rlim_cur = limit.rlim_max;
            check(::setrlimit(RLIMIT_NOFILE, &limit), "the limit of descriptors");
        }
    }
    check(::chroot(plan.root.c_str()), "chroot");
    check(::chdir("/"), "chdir");
}

void give_up_rights(const Plan& plan) {
    for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability)
        check(::prctl(PR_CAPBSET_DROP, capability), "dropping a capability");
    check(::setgroups(0, nullptr), "setgroups");
    check(::setresgid(plan.gid, plan.gid, plan.gid), "setresgid");
    check(::setresuid(plan.uid, plan.uid, plan.uid), "setresuid");
    check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    // `unshare --kill-child` has asked for it; another user is another matter to the kernel.
    check(::prctl(PR_SET_PDEATHSIG, SIGKILL), "an end with the parent");
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Plan plan = plan_of(argc, argv);
        mount_all(plan);
        enter(plan);
        give_up_rights(plan);
        ::execv(plan.argv.front(), plan.argv.data());
        throw std::runtime_error(std::string(plan.argv.front()) + ": " + std::strerror(errno));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "penstock_test_contained: %s\n", error.what());
        return 127;
    }
}
