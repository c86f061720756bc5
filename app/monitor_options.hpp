#pragma once

#include <cstddef>

#include "config/config.hpp"
#include "health/upstream_monitor.hpp"

namespace penstock::app {

/// What the rest of the configuration means for the health of one of its upstreams.
[[nodiscard]] health::UpstreamMonitor::Options monitor_options(const config::Config& config,
                                                               const config::Upstream& upstream,
                                                               std::size_t workers);

}  // namespace penstock::app
