#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace penstock::net {

/// The directory entries that the look-up of an absolute path passes, symbolic links followed:
/// {directory, name}. What is at the end of the path changes only through one of them.
using FileChain = std::set<std::pair<std::string, std::string>>;

/// The chain as it is now; it ends at an entry that is missing.
[[nodiscard]] FileChain resolve_chain(const std::string& path);

/// A hash of the contents of a regular file of at most 64 MiB; nothing if there is none.
[[nodiscard]] std::optional<std::uint64_t> hash_of_contents(const std::string& path);

}  // namespace penstock::net
