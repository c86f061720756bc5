#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/client/fields.hpp"
#include "config/diagnostic.hpp"

namespace penstock::app::client {

/// The text of a file that an answer names; nothing = it cannot be quoted.
using ReadText = std::function<std::optional<std::string>(const std::string& file)>;

/// Errors and warnings of a plan as findings that `penstock check` would show, with the lines that
/// they are about where `read` has them. Texts are sanitised.
[[nodiscard]] std::vector<config::Diagnostic> problems_of(const json::value& answer,
                                                          const ReadText& read);

}  // namespace penstock::app::client
