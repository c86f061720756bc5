#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/endpoint.hpp"

/// Files of backends (`[[upstream.discovery]]` of type file), in one of two forms.
///
/// Lines: an address as in [[upstream.backend]], then options, blanks between them; `#` starts a
/// comment:
///     10.0.0.1:80
///     app2.internal:80 name=b weight=2 tier=1 max_connections=100
/// JSON: a list of addresses and of objects with `address` and the options; or an object that has
/// the list as `backends`.
namespace penstock::config {

struct FileBackend {
    std::string name{};  // "" = none given
    Endpoint address{};  // empty where there is a host
    std::string host{};
    std::uint16_t host_port = 0;
    std::optional<std::uint32_t> weight{};
    std::optional<std::uint32_t> tier{};
    std::optional<std::uint64_t> max_connections{};

    bool operator==(const FileBackend&) const = default;
};

struct BackendFileError {
    std::uint32_t line = 0;  // from 1; 0 = the file as a whole
    std::uint32_t column = 0;  // from 1, in characters
    std::string message;
};

/// At most `most` backends, else an error; none at all is no error. All errors up to twenty.
[[nodiscard]] std::expected<std::vector<FileBackend>, std::vector<BackendFileError>>
parse_backend_file(std::string_view text, std::size_t most);

/// Reads and parses; what is wrong with the file itself (missing, writable by others, too large)
/// is an error of it as a whole.
[[nodiscard]] std::expected<std::vector<FileBackend>, std::vector<BackendFileError>>
read_backend_file(const std::string& path, std::size_t most);

}  // namespace penstock::config
