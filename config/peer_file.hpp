#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "base/prefix.hpp"
#include "config/diagnostic.hpp"
#include "config/reporter.hpp"

/// Files of peers (`allow_file`, `deny_file`): one network, `unix` or `all` a line, LF or CRLF. `#`
/// starts a comment, blank lines and blanks around a peer do not count.
namespace penstock::config {

struct PeerFileError {
    std::uint32_t line = 0;  // from 1
    std::uint32_t column = 0;  // from 1, in characters
    std::uint32_t length = 0;  // characters
    std::string message;
};

struct PeerFile {
    PeerList peers;  // the lines that are right
    std::vector<PeerFileError> errors;
};

[[nodiscard]] PeerFile parse_peer_file(std::string_view text);

/// Reads and parses. Wrong lines are reported to `reporter`, the first ones each with its place;
/// the list is empty then. What is wrong with the file as a whole (missing, unreadable, writable by
/// others) is the error: a sentence without the name of the file.
[[nodiscard]] std::expected<PeerList, std::string> read_peer_file(const std::string& path,
                                                                  Reporter& reporter);

/// The same while running: all findings ready to be printed.
[[nodiscard]] std::expected<PeerList, std::vector<Diagnostic>> read_peer_file(
    const std::string& path);

}  // namespace penstock::config
