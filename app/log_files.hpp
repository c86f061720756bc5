#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"

namespace penstock::app {

/// Before the logs are opened as root: makes those that are missing, and gives them to
/// `process.user`, who has to open them again: after a rotation, and in the next process.
void make_log_files(const config::Config& config) noexcept;

/// A sentence for each log that this process has open, and could not open again as the user that
/// it has switched to.
[[nodiscard]] std::vector<std::string> log_files_of_others(const config::Config& config);

}  // namespace penstock::app
