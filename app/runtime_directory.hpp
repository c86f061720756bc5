#pragma once

#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.hpp"
#include "config/interpolate.hpp"

namespace penstock::app {

/// What a unix path of the configuration begins with when it is below the runtime directory.
inline constexpr std::string_view runtime_variable = "$RUNTIME";

/// All directories that `$RUNTIME` can be, in the order in which they are taken: $RUNTIME_DIRECTORY
/// (the first one, where it names several), /run/penstock, $XDG_RUNTIME_DIR/penstock. A client that
/// tries them in this order finds the socket of a proxy that was started in another environment
/// than its own. Values that are no absolute path count as not set.
[[nodiscard]] std::vector<std::string> runtime_candidates(const config::Environment& environment);

/// Makes the directory unless it is there, and says why it is of no use where that is so.
using MakeDirectory = std::function<std::expected<void, std::string>(const std::string& path)>;

/// The directory that the proxy uses: the first candidate that exists or can be made.
/// Where $RUNTIME_DIRECTORY is set, somebody has decided, and nothing else is tried. The error
/// is a sentence for the user that says what was tried.
[[nodiscard]] std::expected<std::string, std::string> choose_runtime_directory(
    const config::Environment& environment, const MakeDirectory& make);

/// The real one: `path` alone, not those above it, for its owner to write and everybody to search,
/// so that the mode of a socket decides. One that is there must be a directory that this process
/// may create files in.
[[nodiscard]] std::expected<void, std::string> make_runtime_directory(const std::string& path);
/// The same of one that has to be there.
[[nodiscard]] std::expected<void, std::string> check_runtime_directory(const std::string& path);

/// True for a unix socket whose path begins with `$RUNTIME/`.
[[nodiscard]] bool is_below_runtime(const Endpoint& endpoint);

/// `endpoint` with `directory` in place of `$RUNTIME`; one without it stays. The error is a
/// sentence for the user: the path may have become too long for a socket.
[[nodiscard]] std::expected<Endpoint, std::string> in_runtime_directory(
    const Endpoint& endpoint, const std::string& directory);

}  // namespace penstock::app
