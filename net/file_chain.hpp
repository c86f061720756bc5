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

/// The same for whatever matches an absolute pattern (glob(7)), now or later. A name of "*" stands
/// for every entry of its directory.
[[nodiscard]] FileChain resolve_pattern_chain(const std::string& pattern);

/// A hash of the paths that match the pattern.
[[nodiscard]] std::uint64_t hash_of_matches(const std::string& pattern);

/// A hash of the contents of a regular file of at most 64 MiB; nothing if there is none.
[[nodiscard]] std::optional<std::uint64_t> hash_of_contents(const std::string& path);

}  // namespace penstock::net
