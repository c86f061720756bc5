#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace penstock::app {

/// Opens /dev/null on descriptors 0 to 2 where they are closed, so that no socket ever takes the
/// place of a standard stream. First thing in main().
void fill_standard_streams() noexcept;

/// Ignores every signal that is not ours to handle and would otherwise end the process.
void ignore_stray_signals() noexcept;

/// Blocks all signals in the calling thread, but for those in own_signals.hpp: only the control
/// thread receives them.
void block_signals() noexcept;

/// Closes all descriptors from this one on, also where the kernel has no call for that. For a
/// process of one thread.
void close_from(int first) noexcept;

/// What the C library says of an errno.
[[nodiscard]] std::string message_of(int error);

/// Writes a whole line to standard output; a closed or broken output is not an error.
void print_line(std::string_view line) noexcept;

struct Identity {
    uid_t uid;
    gid_t gid;
};
/// Who that is, by names; empty = as this process is. The error names the key.
[[nodiscard]] std::expected<Identity, std::string> find_identity(const std::string& user,
                                                                 const std::string& group);

/// Switches to `user` and `group` (names; empty = keep), with its supplementary groups. The error
/// says which and why.
[[nodiscard]] std::expected<void, std::string> switch_user(const std::string& user,
                                                           const std::string& group);

}  // namespace penstock::app
