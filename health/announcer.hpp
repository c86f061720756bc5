#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "base/role.hpp"
#include "health/actions.hpp"
#include "health/availability.hpp"

namespace penstock::health {

/// Tells once what begins and ends for an upstream as a whole: panic per tier and role, and that
/// nobody is available. For clients that ask for no role, and for the roles that some ask for.
/// Pure; one owner thread.
class Announcer {
public:
    Announcer(double panic_threshold, bool asked_primary, bool asked_replica);

    /// From now on. What was told of roles that nobody asks for any more is forgotten.
    void configure(double panic_threshold, bool asked_primary, bool asked_replica);

    /// Compares with what was told last. While the first verdict on somebody is `awaited` it does
    /// not say that nobody is available: that is known only then.
    void look(const TierBook& tiers, bool awaited, std::vector<Event>& events);

private:
    using Panic = std::pair<std::uint32_t, Role>;

    void look_at_panic(const TierBook& tiers, std::vector<Event>& events);
    void look_at_availability(const TierBook& tiers, bool awaited, std::vector<Event>& events);

    double threshold_ = 0;
    std::vector<Role> asked_{Role::none};
    std::set<Panic> panics_;  // told
    std::array<bool, role_count> nobody_{};  // told
};

}  // namespace penstock::health
