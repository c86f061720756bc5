#pragma once

#include <string>
#include <string_view>

#include "app/manual/command.hpp"

namespace penstock::app::manual {

/// penstock(1). `page` is docs/command-line.md: what no option tells, exit statuses and signals,
/// comes from there. Throws std::runtime_error where it has no such section.
[[nodiscard]] std::string command_page(const Command& program, std::string_view version,
                                       std::string_view page);

/// penstock.toml(5). `page` is docs/configuration.md, for what a value looks like; `reference` the
/// keys (config::reference()).
[[nodiscard]] std::string configuration_page(std::string_view version, std::string_view page,
                                             std::string_view reference);

}  // namespace penstock::app::manual
