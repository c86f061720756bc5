#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/prefix.hpp"

namespace penstock::config {

/// Adds one peer as a list names it: a network, `unix`, `all`. The error is a sentence for the user
/// that goes behind the text.
[[nodiscard]] std::expected<void, std::string> add_peer(PeerList& peers, std::string_view text);

/// What add_peer() takes, networks first.
[[nodiscard]] std::vector<std::string> format_peers(const PeerList& peers);

}  // namespace penstock::config
