#pragma once

#include "config/config.hpp"
#include "config/origins.hpp"
#include "config/reporter.hpp"

namespace penstock::config {

/// What only the whole configuration shows: names given twice, references, addresses that collide
/// or lead back to this proxy, values that contradict each other. Values that were already reported
/// as wrong are empty and are passed over.
void check_config(const Config& config, const Origins& origins, Reporter& reporter);

}  // namespace penstock::config
