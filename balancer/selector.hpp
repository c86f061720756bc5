#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <vector>

#include "balancer/bitmap.hpp"
#include "balancer/circuit.hpp"
#include "balancer/policy.hpp"
#include "balancer/slot_limiter.hpp"
#include "balancer/slow_start.hpp"
#include "balancer/snapshot.hpp"

namespace penstock::balancer {

struct SelectorOptions {
    PolicyKind kind = PolicyKind::p2c;
    double bounded_load = 0;  // as PolicyOptions
    /// The next tiers also take what the lower ones are too full for.
    bool spill_when_full = false;
    /// The next tier serves beside the lower ones when their available share (by weight, of those
    /// that are ready) falls to this; 0 = only when none is left. Above 0 needs a set whose tiers
    /// join; the first BackendSet::max_joining_tiers do.
    double tier_join_below = 0;
    SlowStart slow_start{};
    bool operator==(const SelectorOptions&) const = default;
};

/// What one client needs.
struct PickRequest {
    /// The set's indices of the backends that this client has tried; may be empty (size 0).
    const Bitmap& tried;
    std::optional<std::uint64_t> key;  // hash of the client's key, for hash policies
    TimePoint now;
    /// Backends to which the caller has a warm connection, which brings its own slot: they are
    /// never full for this caller. Null or of size 0 = none.
    const Bitmap* ready_made = nullptr;
};

enum class PickFailure : std::uint8_t {
    none_available,  // nobody is available whom this client has not tried
    all_full,  // somebody is, but all of those who may serve are at a limit, or half-open and
               // without a trial permit
};

struct Pick {
    std::uint32_t index;
    Permit slot;  // for as long as the connection lasts
    Permit connecting;  // until the attempt has succeeded or failed
    // Both empty when `index` came from ready_made.
    CircuitPass pass;  // goes to the backend's outcomes(), or back to its circuit()
};

/// One worker's view of an upstream: the set, which of its backends are available, their weights at
/// the moment, and a policy per tier. The lowest tier that has an available backend the client has
/// not tried serves; higher tiers are back-ups. Used on its worker's thread only; selectors on
/// other threads share the backends, and no limit is ever exceeded.
class Selector {
public:
    /// Every backend starts as available, except those that never are: weight 0 or not ready. The
    /// workers need different seeds.
    Selector(std::shared_ptr<const BackendSet> set, const SelectorOptions& options,
             std::uint64_t seed);

    /// The backend to try next, with a permit for each of its limits. Takes the turn of that
    /// backend, so call it only to use the answer. Never allocates; O(backends) at most.
    [[nodiscard]] std::expected<Pick, PickFailure> pick(const PickRequest& request);

    /// Who could be picked now, and who would be, without taking anything but the policy's turn.
    struct Outlook {
        Bitmap candidates;  // of the tiers that serve: available, below their limits, not tried
        std::optional<std::uint32_t> choice;  // nothing = there is none of them
    };
    [[nodiscard]] Outlook look(const PickRequest& request);

    /// Whether an available backend is not in `tried`, full or not.
    [[nodiscard]] bool can_pick(const Bitmap& tried) const noexcept;
    /// Whether an available backend of a tier that serves is below its limits: what a queue asks
    /// before it calls somebody. Nothing is reserved.
    [[nodiscard]] bool has_room() const noexcept;

    /// True while at least one backend is available, tried or not.
    [[nodiscard]] bool any_available() const noexcept;
    [[nodiscard]] bool available(std::uint32_t index) const noexcept;
    /// Available because of panic alone.
    [[nodiscard]] bool forced(std::uint32_t index) const noexcept;
    /// The verdict of health on one backend; one that is not ready or has no weight stays
    /// unavailable.
    void set_available(std::uint32_t index, bool available) noexcept;
    /// All verdicts, for clients that ask for `role`. With another set than before, everything is
    /// made anew for it; policies that take turns start at a random turn.
    void adopt(const Snapshot& snapshot, Role role);

    [[nodiscard]] const BackendSet& set() const noexcept { return *set_; }

private:
    void build();
    [[nodiscard]] std::optional<Pick> take(std::size_t range, const Bitmap* open,
                                           const PickRequest& request);
    [[nodiscard]] std::optional<Pick> take_from(std::uint32_t index, const PickRequest& request);
    [[nodiscard]] std::optional<CircuitPass> pass(std::uint32_t index) noexcept;
    void drop_full(const BackendSet::Range& range, const Bitmap* ready_made) noexcept;
    void join_tiers() noexcept;
    void refresh_weights(TimePoint now) noexcept;
    void prepare() noexcept;

    std::shared_ptr<const BackendSet> set_;
    SelectorOptions options_;
    Bitmap available_;
    Bitmap forced_;  // those of available_ whose circuit does not count
    Bitmap allowed_;  // scratch: available, not tried, and where there are limits, not full
    std::vector<std::uint32_t> weights_;  // as Candidates::weights
    std::size_t joined_ = 0;  // place of the highest tier that serves beside the lower ones
    TimePoint refresh_at_ = TimePoint::min();  // when weights_ is next due
    bool stale_ = true;  // the policies do not know what available_ and weights_ say
    std::vector<std::unique_ptr<Policy>> policies_;  // one per range
    Random random_;
};

}  // namespace penstock::balancer
