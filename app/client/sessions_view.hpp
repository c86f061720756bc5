#pragma once

#include <cstddef>
#include <string>

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

namespace penstock::app::client {

/// `penstock sessions`: live connections, one a line. `asked_for` is how many the answer may have.
[[nodiscard]] std::string sessions_view(const json::value& sessions, std::size_t asked_for,
                                        const Canvas& canvas);
/// `penstock closes`: lately closed connections, newest first, one a line.
[[nodiscard]] std::string closes_view(const json::value& closes, const Canvas& canvas);

}  // namespace penstock::app::client
