#pragma once

#include <string>

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

namespace penstock::app::client {

/// A reload would change something, or a restart: an override that is kept alone is no change.
[[nodiscard]] bool has_changes(const json::value& plan) noexcept;

// Nothing of these is cut off at the width of a terminal: they are read before something is done.

/// What a reload would change, one change a line below whom it concerns, and how to do it.
[[nodiscard]] std::string plan_view(const json::value& plan, const Canvas& canvas);
/// The same of a reload that was carried out.
[[nodiscard]] std::string reload_view(const json::value& answer, const Canvas& canvas);
/// Which process serves now, and what becomes of the one before it.
[[nodiscard]] std::string upgrade_view(const json::value& answer, const Canvas& canvas);

}  // namespace penstock::app::client
