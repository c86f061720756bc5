#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "config/diagnostic.hpp"

namespace penstock::app {

/// 128 bit in base64 without padding; whoever guesses needs longer than anybody has.
inline constexpr std::size_t shortest_token = 22;
/// Longer ones would not fit into the head of a request.
inline constexpr std::size_t longest_token = 1024;

/// The token in the text of a file: one line of printable ASCII without blanks, whose end may be
/// missing. The error is a sentence for the user that goes on after the name of the file; it never
/// shows what is in it.
[[nodiscard]] std::expected<std::string, std::string> parse_token(std::string_view text);

/// The token in the file. The error says what is wrong, the file's name included.
[[nodiscard]] std::expected<std::string, std::string> read_token(const std::string& path);

/// What is wrong with the token files of the admin API, each file once: errors for what
/// read_token() refuses, warnings for files that others than their owner may read
/// (errors with strict_permissions).
[[nodiscard]] std::vector<config::Diagnostic> check_token_files(const config::Config& config);

}  // namespace penstock::app
