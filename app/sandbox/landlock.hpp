#pragma once

#include <expected>
#include <span>
#include <string>
#include <vector>

#include "app/sandbox/rules.hpp"
#include "net/unique_fd.hpp"

/// Landlock, by system calls and constants of our own: the headers of a system may be older than
/// its kernel. landlock(7); the numbers are those of linux/landlock.h.
namespace penstock::app::sandbox::landlock {

/// The version of its interface that this kernel has; 0 = none, or it is switched off.
[[nodiscard]] int abi() noexcept;

/// The kernel's bits for the rights of a directory, or of a file that is none. Pure.
[[nodiscard]] std::uint64_t access_of(Rights rights, bool is_directory, int abi) noexcept;
/// All that is forbidden where no rule allows it. Pure.
[[nodiscard]] std::uint64_t handled(int abi, bool confines_reading) noexcept;

struct Ruleset {
    net::UniqueFd fd;
    // In it, or not needed (pipes, sockets); those of paths that do not exist are left out.
    std::vector<Rule> rules;
    // What of /proc the rules name, which the kernel would forget and make anew, unknown to them,
    // when memory is short.
    std::vector<net::UniqueFd> pins;
};
/// The error is a sentence.
[[nodiscard]] std::expected<Ruleset, std::string> prepare(std::span<const Rule> rules, int abi,
                                                          bool confines_reading);
/// Confines the calling thread for good, which must have no_new_privs. 0, or errno; may be called
/// in a signal handler.
[[nodiscard]] int restrict_self(int ruleset) noexcept;

}  // namespace penstock::app::sandbox::landlock
