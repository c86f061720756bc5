#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/config.hpp"

/// What a sandboxed process may do with files. Pure: what is on disk is told by `Disk`.
namespace penstock::app::sandbox {

/// Rights on a directory and all beneath it, or on one file; a set of bits.
enum Right : std::uint32_t {
    read = 1U << 0U,
    write_files = 1U << 1U,   // creates them as well
    make_sockets = 1U << 2U,  // and removes them
    connect_to = 1U << 3U,    // a unix socket: a matter of its mode and of capabilities alone
};
using Rights = std::uint32_t;

/// What a configuration needs of one path.
struct Need {
    std::string key;   // that names it, for messages: `listener.tls.certificates.cert`
    std::string path;  // as the configuration has it, absolute
    Rights rights = read;
    bool operator==(const Need&) const = default;
};

/// Which file it is, whatever its name is at the moment.
struct Identity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool operator==(const Identity&) const = default;
};

/// A directory or file, and what may be done there.
struct Rule {
    std::string path;  // without symbolic links
    Rights rights = 0;
    std::optional<Identity> place{};  // what had that name when the rule came into force
    bool operator==(const Rule&) const = default;
};

/// What is on the disk.
struct Disk {
    /// The path without symbolic links; of what does not exist, as far as it does.
    std::function<std::string(const std::string& path)> resolve;
    /// A device, FIFO or terminal: nothing is created in its directory.
    std::function<bool(const std::string& path)> is_special;
    /// The files that a pattern stands for now.
    std::function<std::vector<std::string>(const std::string& pattern)> expand;
    /// Directories that hold a symbolic link on the way to this path: what leads there may be
    /// turned to a neighbour while the process runs.
    std::function<std::vector<std::string>(const std::string& path)> links_on;
    /// What has this name now; nothing = nobody knows.
    std::function<std::optional<Identity>(const std::string& path)> identify{};
    /// What $RUNTIME stands for, also while nothing is in it, and where it has not been made;
    /// nothing = there is none.
    std::optional<std::string> runtime_directory;
};
/// This machine's; of the runtime directory only where it is.
[[nodiscard]] Disk this_disk(std::optional<std::string> runtime_directory);

/// Every path of a configuration that the process touches while it runs. `files` and `patterns`:
/// those of the configuration itself.
[[nodiscard]] std::vector<Need> needs_of(const config::Config& config,
                                         std::span<const std::string> files,
                                         std::span<const std::string> patterns, const Disk& disk);

/// What these needs come to, each path once, and sockets in the runtime directory, whose turn may
/// come with any reload. `confines_reading`: reading is among them, with what
/// libraries read of the system; else reading is free.
[[nodiscard]] std::vector<Rule> rules_of(std::span<const Need> needs, const Disk& disk,
                                         bool confines_reading);

/// A sentence for each need that goes beyond the rules, or whose directory is another one than when
/// they came into force.
[[nodiscard]] std::vector<std::string> beyond(std::span<const Need> needs,
                                              std::span<const Rule> rules, const Disk& disk,
                                              bool confines_reading);

}  // namespace penstock::app::sandbox
