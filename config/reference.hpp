#pragma once

#include <string>

namespace penstock::config {

/// The supported keys as Markdown, one section with a table of keys per table of the configuration.
[[nodiscard]] std::string reference();

}  // namespace penstock::config
