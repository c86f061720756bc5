#pragma once

#include <cstdint>
#include <memory>

#include "balancer/backend_set.hpp"
#include "balancer/bitmap.hpp"
#include "base/random.hpp"

namespace penstock::balancer {

/// What a policy chooses from: the backends of one tier, [begin, end) of the set, of which only
/// those whose bit is set may be picked (available and not tried yet by this client). At least one
/// bit in the range is set, and none of a backend whose usable_weight() is 0.
struct Candidates {
    const BackendSet& set;
    const Bitmap& allowed;
    std::uint32_t begin;
    std::uint32_t end;
};

/// A balancing policy: pure, no clock and no I/O of its own. One instance per worker and tier, so
/// it may keep state without locks; used on that worker's thread only.
class Policy {
public:
    Policy() = default;
    Policy(const Policy&) = delete;
    Policy& operator=(const Policy&) = delete;
    virtual ~Policy() = default;
    /// The index of a backend in the set; its bit in `candidates.allowed` is set. `candidates` must
    /// speak of the set and range that the policy was made for. Never allocates.
    [[nodiscard]] virtual std::uint32_t pick(const Candidates& candidates, Random& random) = 0;

    /// Other backends than before are available: for a policy that prepares its choice.
    /// O(backends), before the first pick too. What a client has tried is no part of it. Never
    /// allocates.
    virtual void prepare(const Bitmap& available) noexcept;
};

enum class PolicyKind : std::uint8_t { round_robin, least_connections, p2c, random };

/// Builds the policy for the backends of `tier`, one of set.tiers(). Those that take turns start at
/// a random turn, lest the workers go in step and send their first clients to one backend.
[[nodiscard]] std::unique_ptr<Policy> make_policy(PolicyKind kind, const BackendSet& set,
                                                  const BackendSet::Tier& tier, Random& random);

}  // namespace penstock::balancer
