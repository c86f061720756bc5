#include "tests/deploy/systemd_machine.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/support/deadline.hpp"
#include "tests/support/netns.hpp"

namespace penstock::test {

namespace fs = std::filesystem;

namespace {

// Arguments: a private directory, the name of the cgroup, variables that all services get. The
// units that belong to the machine below are taken away: systemd starts with what a test asks for,
// and its journal.
constexpr const char* boot_script = R"(set -euo pipefail
work=$1 cgroup=$2 environment=$3
mount -t tmpfs tmpfs "$work"
mkdir "$work/cgroup" "$work/upper" "$work/work" "$work/root"
mount -t cgroup2 cgroup2 "$work/cgroup"
mkdir "$work/cgroup/$cgroup"
echo $$ >"$work/cgroup/$cgroup/cgroup.procs"
exec unshare --cgroup --pid --net --uts --ipc --mount --fork --kill-child=SIGKILL bash -c '
set -euo pipefail
work=$1 root=$1/root environment=$2
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work,volatile" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for place in run tmp var/tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$place"; done
chmod 1777 "$root/tmp" "$root/var/tmp"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/lock"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -t devpts -o ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ip link set lo up
rm -rf "$root"/etc/systemd/system/* "$root"/{usr/,}lib/systemd/system/*.wants/
mkdir -p "$root/usr/lib/systemd/system/sysinit.target.wants"
ln -s ../systemd-journald.service "$root/usr/lib/systemd/system/sysinit.target.wants/"
ln -sf /dev/null "$root/etc/systemd/system/systemd-logind.service"
printf "[Journal]\nStorage=volatile\n" >"$root/etc/systemd/journald.conf"
mkdir -p "$root/etc/systemd/system.conf.d"
printf "[Manager]\nDefaultEnvironment=%s\n" "$environment" \
    >"$root/etc/systemd/system.conf.d/test.conf"
cd "$root"
mkdir -p .old
pivot_root . .old
umount --lazy /.old
rmdir /.old
# As a system has it: credentials are mounted in a namespace of their own and seen in the others.
mount --make-rshared /
exec env -i container=penstock-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=basic.target --log-target=journal
' bash "$work" "$environment"
)";

/// The search for leaks traces its own process, which the hardening of a unit forbids.
constexpr const char* environment =
    sanitized ? "ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1" : "";

pid_t only_child(pid_t parent) {
    const auto number = std::to_string(parent);
    std::ifstream file("/proc/" + number + "/task/" + number + "/children");
    pid_t child = 0;
    file >> child;
    return child;
}

UniqueFd network_of(const std::string& process) {
    return UniqueFd(::open(("/proc/" + process + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
}

}  // namespace

SystemdMachine::SystemdMachine()
    : cgroup_("penstock-test-" + std::to_string(::getpid()) + "-" +
              directory_.path().filename().string()) {
    boot_.emplace(std::vector<std::string>{"unshare", "--mount", "bash", "-c", boot_script, "bash",
                                           directory_.path().string(), cgroup_, environment});
    const bool up = wait_for(
        [&] {
            if (!boot_->running()) return true;
            init_ = only_child(boot_->pid());
            return init_ > 0 &&
                   attempt("[[ -S /run/systemd/private ]] && systemctl is-active basic.target", 10s)
                           .status == 0;
        },
        60s);
    if (up && boot_->running()) return;
    const auto said = boot_->output() + boot_->errors();
    boot_.reset();
    remove_cgroup();
    throw std::runtime_error(
        "systemd does not come up in namespaces of its own (this needs root, "
        "and Debian's package systemd):\n" +
        said);
}

SystemdMachine::~SystemdMachine() {
    boot_.reset();  // with it the namespace of processes, and everything in it
    remove_cgroup();
}

void SystemdMachine::remove_cgroup() const {
    const ScopedMounts mounts;
    const TempDir place;
    if (::mount("cgroup2", place.path().c_str(), "cgroup2", 0, nullptr) != 0) return;
    const auto top = place.path() / cgroup_;
    // A folder can be removed once its last process is gone, and those in it are.
    wait_for([&] {
        std::vector<fs::path> folders{top};
        std::error_code error;
        for (fs::recursive_directory_iterator entry(top, error), end; !error && entry != end;
             entry.increment(error))
            if (entry->is_directory(error)) folders.push_back(entry->path());
        for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder)
            ::rmdir(folder->c_str());
        return !fs::exists(top, error);
    });
    ::umount(place.path().c_str());
}

SystemdMachine::Result SystemdMachine::attempt(const std::string& script,
                                               milliseconds limit) const {
    ChildProcess child({"nsenter", "--target=" + std::to_string(init_), "--all", "env", "-i",
                        "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                        "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER=", "bash", "-c",
                        "exec 2>&1; set -euo pipefail\n" + script});
    const auto status = child.wait_exit(limit);
    Result result;
    if (status && WIFEXITED(*status)) result.status = WEXITSTATUS(*status);
    result.output = child.output() + child.errors();
    return result;
}

std::string SystemdMachine::run(const std::string& script, milliseconds limit) const {
    auto result = attempt(script, limit);
    if (result.status == 0) return std::move(result.output);
    throw std::runtime_error(script + "\nended with status " + std::to_string(result.status) +
                             ":\n" + result.output);
}

fs::path SystemdMachine::path(const std::string& inside) const {
    return "/proc/" + std::to_string(init_) + "/root" + inside;
}

void SystemdMachine::write(const std::string& inside, const std::string& text) const {
    const auto target = path(inside);
    fs::create_directories(target.parent_path());
    std::ofstream file(target);
    file << text << std::flush;
    if (!file) throw std::runtime_error(target.string() + " cannot be written");
}

void SystemdMachine::copy_in(const fs::path& from, const std::string& inside) const {
    const auto target = path(inside);
    fs::create_directories(target.parent_path());
    fs::copy_file(from, target, fs::copy_options::overwrite_existing);
}

SystemdMachine::Network::Network(pid_t of) : home_(network_of("thread-self")) {
    const auto there = network_of(std::to_string(of));
    if (!there || ::setns(there.get(), CLONE_NEWNET) != 0)
        throw std::runtime_error("the machine's network cannot be entered");
}

SystemdMachine::Network::~Network() {
    if (::setns(home_.get(), CLONE_NEWNET) != 0) std::terminate();
}

std::string SystemdMachine::property(const std::string& unit, const std::string& name) const {
    auto text = run("systemctl show --property=" + name + " --value " + unit);
    while (text.ends_with('\n')) text.pop_back();
    return text;
}

pid_t SystemdMachine::main_pid(const std::string& unit) const {
    return static_cast<pid_t>(std::stol(property(unit, "MainPID")));
}

}  // namespace penstock::test
