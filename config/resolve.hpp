#pragma once

#include "config/config.hpp"
#include "config/origins.hpp"

namespace penstock::config {

/// What merging key by key cannot do: `backend_defaults` for the backends, and of `upstream` and
/// `split` the one that the listener itself has over the other one from [defaults.listener].
void resolve_defaults(Config& config, const Origins& origins);

}  // namespace penstock::config
