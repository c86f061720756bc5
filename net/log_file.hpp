#pragma once

#include <string>

#include "net/unique_fd.hpp"

namespace penstock::net {

/// Makes a log of its own mode, 0640, whatever the umask is; a descriptor to write to it. What is
/// there already stays as it is: then, and where it cannot be made, the descriptor is invalid.
UniqueFd create_log_file(const std::string& path) noexcept;

}  // namespace penstock::net
