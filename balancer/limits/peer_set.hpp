#pragma once

#include "balancer/limits/prefix_table.hpp"
#include "base/endpoint.hpp"
#include "base/prefix.hpp"

namespace penstock::balancer {

/// The peers of a list, for many look-ups. Immutable.
class PeerSet {
public:
    PeerSet() = default;
    explicit PeerSet(const PeerList& list);

    [[nodiscard]] bool contains(const CompactEndpoint& peer) const noexcept {
        if (all_) return true;
        return peer.is_unix() ? unix_ : prefixes_.find(peer).has_value();
    }
    [[nodiscard]] bool empty() const noexcept { return !all_ && !unix_ && prefixes_.empty(); }

private:
    PrefixTable prefixes_;
    bool unix_ = false;
    bool all_ = false;
};

}  // namespace penstock::balancer
