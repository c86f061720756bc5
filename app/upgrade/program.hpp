#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace penstock::app::upgrade {

/// How this process was started: what it needs to start its successor in the same way.
struct Program {
    std::string file{};  // absolute; symbolic links in it stay, so that turning one is an upgrade
    std::vector<std::string> arguments{};  // argv, with [0]
    std::vector<std::string> environment{};  // NAME=value
};

/// Where the descriptor is named that leads from the new process to the old one.
inline constexpr std::string_view channel_variable = "PENSTOCK_UPGRADE_FD";

/// What the look-up of a program depends on.
struct Surroundings {
    std::optional<std::string> path{};  // PATH; nothing = not set
    std::string directory{};  // the current one
    std::string self{};  // what /proc/self/exe leads to
    std::function<bool(const std::string& file)> is_program{};
};

/// The absolute path that a shell would have started for `name`. Where that leads nowhere,
/// because argv[0] may be anything, it is the file that runs.
[[nodiscard]] std::string resolve_program(const std::string& name, const Surroundings& around);

/// This process. First thing in main(), before the directory or the environment changes.
[[nodiscard]] Program own_program(int argc, const char* const* argv);

/// The environment of a successor whose channel is that descriptor. Nothing in it that was meant
/// for this process alone.
[[nodiscard]] std::vector<std::string> successor_environment(
    const std::vector<std::string>& original, int channel);

/// As exec(3) takes its lists; into the strings, which must stay.
[[nodiscard]] std::vector<char*> pointers(std::vector<std::string>& strings);

/// A sentence if process `self` cannot be replaced, whatever the program.
[[nodiscard]] std::expected<void, std::string> check_replaceable(pid_t self);
/// The same, and if it cannot be by a program of that file; as slow as its disk.
[[nodiscard]] std::expected<void, std::string> check_upgradable(const Program& program, pid_t self);

}  // namespace penstock::app::upgrade
