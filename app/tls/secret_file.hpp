#pragma once

#include <expected>
#include <string>
#include <vector>

namespace penstock::app {

/// The passwords in a file, one a line, LF or CRLF, empty lines left out. It may be a FIFO, which
/// is read once, to its end; its writer has five seconds to come. The error is a sentence that
/// names the file. Whoever takes them wipes them.
[[nodiscard]] std::expected<std::vector<std::string>, std::string> read_passwords(
    const std::string& path);

}  // namespace penstock::app
