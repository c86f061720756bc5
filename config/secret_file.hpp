#pragma once

#include <expected>
#include <string>
#include <string_view>

#include <sys/stat.h>

#include "base/secret.hpp"
#include "config/readable_file.hpp"

namespace penstock::config {

/// What was read of a file that holds a secret: a key, a password, a token. What is left of it is
/// wiped at its end.
struct Secret {
    std::string text{};
    bool exposed = false;  // somebody but its owner may read the file

    Secret() = default;
    Secret(Secret&&) = default;
    Secret& operator=(Secret&&) = delete;
    ~Secret() { wipe(text); }
};

/// Said of an exposed file, behind its name: a warning, with process.strict_permissions an error.
inline constexpr std::string_view exposed_secret = "others than its owner can read it; chmod 600";

/// Somebody but its owner may read a file: others, or its group, unless root has handed it to that
/// group.
[[nodiscard]] bool is_exposed(const struct stat& info) noexcept;

/// The whole file. The error is a sentence without the name of the file. The only way to read a
/// secret: whether it is exposed is asked of the very file that is read. A FIFO, where allowed, is
/// read to its end; its writer has five seconds for all of it.
[[nodiscard]] std::expected<Secret, std::string> read_secret(const std::string& path,
                                                             Fifo fifo = Fifo::refused);

/// The same, of which the first line, without its end, is the password; an empty one is an error.
[[nodiscard]] std::expected<Secret, std::string> read_password(const std::string& path);

}  // namespace penstock::config
