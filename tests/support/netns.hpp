#pragma once

#include <string>

#include "tests/support/unique_fd.hpp"

namespace penstock::test {

/// Moves the calling thread into a network namespace of its own (loopback up) until the end of the
/// scope. Threads and processes started inside stay inside; when the last is gone the kernel
/// removes it. Throws std::runtime_error that says what is missing (it needs root, or
/// CAP_SYS_ADMIN).
class ScopedNetns {
public:
    ScopedNetns();
    ScopedNetns(const ScopedNetns&) = delete;
    ScopedNetns& operator=(const ScopedNetns&) = delete;
    ~ScopedNetns();

    /// Drops every TCP segment that matches, e.g. "tcp dport 5000"; returns the rule's handle.
    std::string add_rule(const std::string& match, const std::string& verdict = "drop");
    void remove_rule(const std::string& handle);

    /// sysctl of this namespace: set("net/ipv4/ip_local_port_range", "40000 40010").
    static void set(const std::string& name, const std::string& value);

private:
    UniqueFd home_;
    bool has_table_ = false;
};

/// Moves the calling thread into a mount namespace of its own until the end of the scope: what is
/// mounted inside is seen by nobody else.
class ScopedMounts {
public:
    ScopedMounts();
    ScopedMounts(const ScopedMounts&) = delete;
    ScopedMounts& operator=(const ScopedMounts&) = delete;
    ~ScopedMounts();

    /// A file system in memory of at most `size` bytes at `directory`.
    void mount_tmpfs(const std::string& directory, std::size_t size);

private:
    UniqueFd home_;
};

}  // namespace penstock::test
