#include "tests/support/netns.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "tests/support/child_process.hpp"

namespace penstock::test {

namespace {

[[noreturn]] void missing(const std::string& what) {
    throw std::runtime_error("this test needs " + what + ": " + std::strerror(errno));
}

UniqueFd namespace_handle(const char* kind) {
    UniqueFd fd(
        ::open((std::string("/proc/thread-self/ns/") + kind).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) missing(std::string("/proc with namespaces of kind ") + kind);
    return fd;
}

void bring_up_loopback() {
    const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strncpy(request.ifr_name, "lo", sizeof request.ifr_name - 1);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) missing("a loopback interface");
}

}  // namespace

ScopedNetns::ScopedNetns() : home_(namespace_handle("net")) {
    if (::unshare(CLONE_NEWNET) != 0) missing("the right to create a network namespace (root)");
    bring_up_loopback();
}

ScopedNetns::~ScopedNetns() {
    if (::setns(home_.get(), CLONE_NEWNET) != 0) std::terminate();  // other tests would run inside
}

std::string ScopedNetns::add_rule(const std::string& match, const std::string& verdict) {
    if (!has_table_) {
        run_program(
            {"nft", "add table ip t; add chain ip t c { type filter hook input priority 0; }"});
        has_table_ = true;
    }
    // -e -a echo the added rule with its handle at the end of the line: "... # handle 5".
    const std::string answer =
        run_program({"nft", "-e", "-a", "add rule ip t c " + match + " " + verdict});
    const auto at = answer.rfind("handle ");
    if (at == std::string::npos) throw std::runtime_error("nft gave no handle: " + answer);
    return answer.substr(at + 7, answer.find_last_not_of(" \n") + 1 - at - 7);
}

void ScopedNetns::remove_rule(const std::string& handle) {
    run_program({"nft", "delete rule ip t c handle " + handle});
}

void ScopedNetns::set(const std::string& name, const std::string& value) {
    // /proc/sys/net shows the namespace of the thread that opens it.
    std::ofstream file("/proc/sys/" + name);
    file << value << std::flush;
    if (!file) missing("the sysctl " + name);
}

ScopedMounts::ScopedMounts() : home_(namespace_handle("mnt")) {
    if (::unshare(CLONE_NEWNS) != 0) missing("the right to create a mount namespace (root)");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        missing("the right to make mounts private (root)");
}

ScopedMounts::~ScopedMounts() {
    if (::setns(home_.get(), CLONE_NEWNS) != 0) std::terminate();
}

void ScopedMounts::mount_tmpfs(const std::string& directory, std::size_t size) {
    const std::string options = "size=" + std::to_string(size);
    if (::mount("tmpfs", directory.c_str(), "tmpfs", 0, options.c_str()) != 0) missing("tmpfs");
}

}  // namespace penstock::test
