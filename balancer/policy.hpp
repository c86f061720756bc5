#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "balancer/backend_set.hpp"
#include "balancer/bitmap.hpp"
#include "balancer/slow_start.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"

namespace penstock::balancer {

/// What a policy chooses from: [begin, end) of the set, one of set.ranges(), of which only those
/// whose bit is set may be picked (eligible and not tried yet by this client). At least one bit in
/// the range is set, and none of a backend whose usable_weight() is 0.
struct Candidates {
    const BackendSet& set;
    const Bitmap& allowed;
    std::uint32_t begin;
    std::uint32_t end;
    /// For each index of the set: its weight now, in units of 1 / weight_scale, slow start applied;
    /// at least 1 where `allowed` may have a bit.
    std::span<const std::uint32_t> weights;
    std::optional<std::uint64_t> key;  // hash of the client's key, where the policy asks for one
    TimePoint now;
};

/// A balancing policy: pure, no clock and no I/O of its own. One instance per worker and range of
/// tiers, so it may keep state without locks; used on that worker's thread only.
class Policy {
public:
    Policy() = default;
    Policy(const Policy&) = delete;
    Policy& operator=(const Policy&) = delete;
    virtual ~Policy() = default;
    /// The index of a backend in the set; its bit in `candidates.allowed` is set. `candidates` must
    /// speak of the set and range that the policy was made for. Never allocates.
    [[nodiscard]] virtual std::uint32_t pick(const Candidates& candidates, Random& random) = 0;

    /// Other backends than before are available, or their weights have changed: for a policy that
    /// prepares its choice. O(backends), before the first pick too. What a client has tried, or
    /// who is full, is no part of it. Never allocates.
    virtual void prepare(const Bitmap& available, std::span<const std::uint32_t> weights) noexcept;
};

enum class PolicyKind : std::uint8_t {
    round_robin,
    least_connections,
    p2c,
    random,
    least_latency,
    maglev,
    ring_hash,
    first,
};

struct PolicyOptions {
    PolicyKind kind = PolicyKind::p2c;
    double bounded_load = 0;  // hash policies: nobody above this times the mean load; 0 = off
};

/// Builds the policy for set.ranges()[range_index], from the weights as in Candidates. Those that
/// take turns start at a random turn, lest the workers go in step and send their first clients to
/// one backend.
[[nodiscard]] std::unique_ptr<Policy> make_policy(const PolicyOptions& options,
                                                  const BackendSet& set, std::size_t range_index,
                                                  std::span<const std::uint32_t> weights,
                                                  Random& random);

}  // namespace penstock::balancer
