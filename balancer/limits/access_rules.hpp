#pragma once

#include "balancer/limits/prefix_table.hpp"
#include "base/endpoint.hpp"
#include "base/prefix.hpp"

namespace penstock::balancer {

/// Who may enter. Of all networks that contain a peer the longest one decides, and deny at equal
/// length; `unix` is longer than `all`. Who is in none enters if no list of admitted peers exists.
/// Immutable; any thread.
class AccessRules {
public:
    /// `only_allowed`: a list of admitted peers exists, even if it is empty.
    AccessRules(const PeerList& allow, const PeerList& deny, bool only_allowed);

    [[nodiscard]] bool denies(const CompactEndpoint& peer) const noexcept;

private:
    PrefixTable table_;
    bool denies_others_;  // IP peers in no network
    bool denies_unix_;
};

}  // namespace penstock::balancer
