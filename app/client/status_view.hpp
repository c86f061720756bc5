#pragma once

#include <string>

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

namespace penstock::app::client {

/// `penstock status`. `snapshot` has the API's status, listeners and upstreams under these names.
[[nodiscard]] std::string status_view(const json::value& snapshot, const Canvas& canvas);

/// `9,214 of 29,800 connections`.
[[nodiscard]] std::string connections_of_limit(const json::value& status);

}  // namespace penstock::app::client
