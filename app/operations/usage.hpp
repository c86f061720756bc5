#pragma once

#include <cstdint>

#include "admin/model.hpp"

namespace penstock::app {

/// What the kernel says of this process now; what it does not say is 0.
[[nodiscard]] admin::ProcessUsage process_usage();

/// Bytes of memory of this process that are not swapped out.
[[nodiscard]] std::uint64_t resident_memory();

}  // namespace penstock::app
