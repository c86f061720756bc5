#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "balancer/backend_set.hpp"
#include "config/upstream.hpp"
#include "health/discovery/discovery.hpp"

namespace penstock::health {

/// A backend with what the upstream says of it now.
struct Placed {
    std::shared_ptr<balancer::Backend> backend;
    Discovered as;
};

/// `workers`: how many will count for it.
[[nodiscard]] std::shared_ptr<balancer::Backend> make_backend(const config::Upstream& upstream,
                                                              const Discovered& from,
                                                              std::size_t workers);

/// The set of these backends, in their order within each tier. May take milliseconds for each
/// tier, where the policy needs hash tables. Any thread.
[[nodiscard]] std::shared_ptr<const balancer::BackendSet> make_backend_set(
    const config::Upstream& upstream, const std::vector<Placed>& backends, std::uint64_t hash_seed);

}  // namespace penstock::health
