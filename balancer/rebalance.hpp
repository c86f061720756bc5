#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace penstock::balancer {

/// One backend, as rebalancing sees it.
struct RebalanceBackend {
    std::uint32_t sessions = 0;  // now, over all workers
    std::uint32_t weight = 0;    // whole ones, or all in the same unit
    bool available = false;
};

/// How many sessions to close on each backend, in the order of `backends`, so that their clients
/// come back to those that have fewer. Pure.
///
/// Each backend above its fair share comes down to it: the part of the sessions on available
/// backends that its weight is of theirs, rounded up, so that nobody is closed for less than one
/// session. Backends that are not available, or have weight 0, count for nothing and are left
/// alone: what is to become of their sessions is decided elsewhere.
///
/// If that comes to more than `max_share` (0 to 1) of all sessions, those of backends that are not
/// available included, each backend's number is scaled down in proportion, so that the sum is that
/// share exactly, rounded down (Hamilton's method of the largest remainder; the first of equal
/// ones).
[[nodiscard]] std::vector<std::uint32_t> plan_rebalance(std::span<const RebalanceBackend> backends,
                                                        double max_share);

}  // namespace penstock::balancer
