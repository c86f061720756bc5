#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "balancer/bitmap.hpp"
#include "balancer/policy.hpp"

namespace penstock::balancer {

/// One worker's view of an upstream: the set, which of its backends are available, and a policy per
/// tier. The lowest tier that has an available backend the client has not tried serves; higher
/// tiers are back-ups. Used on its worker's thread only.
class Selector {
public:
    /// Every backend starts as available, except those that never are: weight 0 or not ready. The
    /// workers need different seeds.
    Selector(std::shared_ptr<const BackendSet> set, PolicyKind kind, std::uint64_t seed);

    /// The backend to try next, or nothing when every available one is in `tried`. `tried` holds
    /// the set's indices of the backends this client has tried; it may be empty (size 0). Takes the
    /// turn of that backend, so call it only to use the answer. Never allocates; O(backends) at
    /// most.
    [[nodiscard]] std::optional<std::uint32_t> pick(const Bitmap& tried);

    /// Whether pick(tried) would find a backend; takes nobody's turn.
    [[nodiscard]] bool can_pick(const Bitmap& tried) const noexcept;

    /// True while at least one backend is available, tried or not.
    [[nodiscard]] bool any_available() const noexcept;
    [[nodiscard]] bool available(std::uint32_t index) const noexcept;
    /// The verdict of health on one backend; one that is not ready or has no weight stays
    /// unavailable.
    void set_available(std::uint32_t index, bool available) noexcept;

    [[nodiscard]] const BackendSet& set() const noexcept { return *set_; }

private:
    void prepare() noexcept;

    std::shared_ptr<const BackendSet> set_;
    Bitmap available_;
    Bitmap allowed_;  // scratch: available and not tried
    bool stale_ = true;  // available_ has changed since the policies prepared for it
    std::vector<std::unique_ptr<Policy>> policies_;  // one per tier
    Random random_;
};

}  // namespace penstock::balancer
