#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <string>

#include "config/config.hpp"

namespace penstock::app {

/// How many connections this process can hold, and why.
struct ConnectionLimit {
    std::uint64_t connections;
    std::string cause;  // `descriptor limit 65,536`
};

/// What takes descriptors beside connections.
struct DescriptorNeeds {
    std::size_t workers;
    std::size_t listening_sockets;
    std::uint64_t warm_connections = 0;  // the most that pools may hold
    std::uint64_t checks = 0;            // the most that health may hold
};

/// The most warm connections that the pools of `config` may hold at a time.
[[nodiscard]] std::uint64_t warm_connections(const config::Config& config) noexcept;

/// Pure: `auto` (0) takes what the descriptor limit leaves after everything else, at two
/// descriptors a connection; an explicit value above that is an error that says the numbers.
[[nodiscard]] std::expected<ConnectionLimit, std::string> connection_limit(
    std::uint64_t configured, std::uint64_t descriptor_limit, const DescriptorNeeds& needs);

/// Raises the soft limit on descriptors to the hard one; returns what is in force.
[[nodiscard]] std::uint64_t raise_descriptor_limit();

/// Cores that this process may run on.
[[nodiscard]] std::size_t usable_cores();

/// The memory this process may use: the cgroup's limit or the machine's memory, in bytes.
[[nodiscard]] std::uint64_t usable_memory();

/// The lowest limit on memory of the cgroups that this process is in, in bytes; 0 = none.
[[nodiscard]] std::uint64_t cgroup_memory_limit(
    const std::filesystem::path& membership = "/proc/self/cgroup",
    const std::filesystem::path& root = "/sys/fs/cgroup");

}  // namespace penstock::app
