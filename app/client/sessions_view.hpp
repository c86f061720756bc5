#pragma once

#include <string>

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

namespace penstock::app::client {

/// `penstock sessions`: live connections, one a line.
[[nodiscard]] std::string sessions_view(const json::value& sessions, const Canvas& canvas);
/// `penstock closes`: lately closed connections, newest first, one a line.
[[nodiscard]] std::string closes_view(const json::value& closes, const Canvas& canvas);

}  // namespace penstock::app::client
