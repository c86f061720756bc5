#pragma once

#include <expected>
#include <string>

namespace penstock::app {

/// The first line of the file, without its end; "" for an empty path. The error says what is wrong
/// with it, the file's name included.
[[nodiscard]] std::expected<std::string, std::string> read_password(const std::string& path);

}  // namespace penstock::app
