#pragma once

#include "config/config.hpp"
#include "config/origins.hpp"

namespace penstock::config {

/// What merging key by key cannot do: `backend_defaults` for the backends, of `upstream` and
/// `split` the one that the listener itself has over the other one from [defaults.listener], and
/// the default of `panic_threshold`.
void resolve_defaults(Config& config, const Origins& origins);

}  // namespace penstock::config
