#include "balancer/limits/peer_set.hpp"

#include <utility>
#include <vector>

namespace penstock::balancer {

PeerSet::PeerSet(const PeerList& list) : unix_(list.unix_peers), all_(list.all) {
    std::vector<PrefixTable::Entry> entries;
    for (const Prefix& prefix : list.prefixes) entries.push_back({prefix, 0});
    prefixes_ = PrefixTable(std::move(entries));
}

}  // namespace penstock::balancer
