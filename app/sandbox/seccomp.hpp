#pragma once

#include <expected>
#include <string>

/// The filter of system calls: seccomp(2), by libseccomp.
namespace penstock::app::sandbox::seccomp {

/// What a system call that is not allowed comes to.
enum class Refusal {
    error,  // EPERM, and a line in the kernel's audit log
    kill,   // the end of the process by SIGSYS
};

/// Puts the filter into force for all threads of the process, for good; they must have
/// no_new_privs. The error is a sentence.
[[nodiscard]] std::expected<void, std::string> enter(Refusal refusal);

}  // namespace penstock::app::sandbox::seccomp
