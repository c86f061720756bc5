#pragma once

#include "balancer/backend_set.hpp"

namespace penstock::balancer {

/// The share of all keys, 0 to 1, that another backend (by name) gets from `after` than from
/// `before`, among those of the lowest tier. Both have tables of the same kind; 0 without tables,
/// and where one of them has no backends: nobody comes from them, or goes to them.
/// For a maglev table exact, for a ring by 65,536 keys.
[[nodiscard]] double moved_share(const BackendSet& before, const BackendSet& after);

}  // namespace penstock::balancer
