#pragma once

#include <string>

#include "admin/model.hpp"

namespace penstock::admin {

/// The page for Prometheus (docs/metrics.md). Labels come from the configuration or from fixed
/// sets, never from the wire; every set that may occur is there from the start, at zero.
[[nodiscard]] std::string metrics_page(const Overview& overview);

}  // namespace penstock::admin
