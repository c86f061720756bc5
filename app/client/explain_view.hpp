#pragma once

#include <string>

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

namespace penstock::app::client {

/// `penstock explain`: the route, every candidate with its score or why it is excluded, the limits.
[[nodiscard]] std::string explain_view(const json::value& answer, const Canvas& canvas);

}  // namespace penstock::app::client
