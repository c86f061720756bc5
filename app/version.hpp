#pragma once

#include <string>
#include <string_view>

namespace penstock::app {

[[nodiscard]] std::string_view version() noexcept;
[[nodiscard]] std::string compiler();

/// Version, compiler, libraries and build features, one a line: what a bug report needs.
[[nodiscard]] std::string version_report();

}  // namespace penstock::app
