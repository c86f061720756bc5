#pragma once

#include "admin/model.hpp"

namespace penstock::app {

/// What the kernel says of this process now; what it does not say is 0.
[[nodiscard]] admin::ProcessUsage process_usage();

}  // namespace penstock::app
