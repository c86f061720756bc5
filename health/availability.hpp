#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "balancer/circuit.hpp"
#include "base/role.hpp"

namespace penstock::health {

/// All that decides whether one backend is available.
struct Standing {
    bool ready = true;  // administrative state
    std::uint32_t weight = 1;
    std::uint32_t tier = 0;
    bool up = true;  // the check's verdict; true without checks
    bool pending = false;  // the first check is outstanding; not up then
    balancer::CircuitState circuit = balancer::CircuitState::closed;
    Role role = Role::none;

    /// It would be used, were it well.
    [[nodiscard]] bool is_candidate(Role asked) const noexcept {
        return ready && weight > 0 && (asked == Role::none || asked == role);
    }
    /// Connections may be given to it; some, while its circuit is half-open.
    [[nodiscard]] bool is_usable() const noexcept {
        return up && circuit != balancer::CircuitState::open;
    }
    /// Nothing is wrong with it. Half-open does not count, so that a lone backend that tries
    /// itself out does not turn away all clients but its trials.
    [[nodiscard]] bool is_healthy() const noexcept {
        return up && circuit == balancer::CircuitState::closed;
    }
    bool operator==(const Standing&) const = default;
};

/// How the candidates of one tier are, for one role.
struct TierCount {
    std::uint32_t candidates = 0;
    std::uint32_t healthy = 0;
    std::uint32_t usable = 0;
    std::uint32_t pending = 0;

    /// The share of healthy ones is below `threshold` (0 = never), and that changes something: some
    /// candidate fails whose first check is not just outstanding.
    [[nodiscard]] bool in_panic(double threshold) const noexcept;
    bool operator==(const TierCount&) const = default;
};

/// Available, and why.
struct Admission {
    bool available = false;
    bool forced = false;  // by panic: it fails its check, or its circuit is not closed
    bool operator==(const Admission&) const = default;
};

/// What a backend is to clients that ask for a role, beside the others of its tier. Pure.
[[nodiscard]] Admission admit(const Standing& standing, Role asked, bool tier_in_panic) noexcept;

/// Counts the backends of an upstream per tier and role, so that a change costs the same however
/// many there are. Pure; one owner thread.
class TierBook {
public:
    explicit TierBook(double panic_threshold) noexcept : threshold_(panic_threshold) {}

    void set_panic_threshold(double threshold) noexcept { threshold_ = threshold; }
    void add(const Standing& standing) { count(standing, 1); }
    void remove(const Standing& standing) { count(standing, -1); }
    /// Removes one and adds the other. True if the panic of a tier has begun or ended by it.
    bool replace(const Standing& before, const Standing& after);

    [[nodiscard]] TierCount tier(std::uint32_t tier, Role asked) const noexcept;
    /// Its counts say so, and it does not keep clients from a back-up: a tier without any healthy
    /// backend leaves them to a tier that has one.
    [[nodiscard]] bool in_panic(std::uint32_t tier, Role asked) const noexcept;
    [[nodiscard]] bool any_in_panic(Role asked) const noexcept;
    [[nodiscard]] std::vector<std::uint32_t> tiers_in_panic(Role asked) const;
    [[nodiscard]] bool any_available(Role asked) const noexcept { return available(asked) > 0; }
    /// How many are, in all tiers together.
    [[nodiscard]] std::uint32_t available(Role asked) const noexcept;
    [[nodiscard]] std::uint32_t candidates(Role asked) const noexcept;
    [[nodiscard]] Admission admit(const Standing& standing, Role asked) const noexcept {
        return health::admit(standing, asked, in_panic(standing.tier, asked));
    }

private:
    using Counts = std::array<TierCount, role_count>;

    void count(const Standing& standing, int by);
    [[nodiscard]] bool panics(const TierCount& tier, Role asked) const noexcept;
    template <typename Predicate>
    [[nodiscard]] bool any_tier(Role asked, Predicate predicate) const noexcept;

    double threshold_;
    std::map<std::uint32_t, Counts> tiers_;  // those with a candidate
};

}  // namespace penstock::health
