#include "balancer/limits/access_rules.hpp"

namespace penstock::balancer {

namespace {

enum Verdict : PrefixTable::Value { allowed, denied };

PrefixTable make_table(const PeerList& allow, const PeerList& deny) {
    std::vector<PrefixTable::Entry> entries;
    entries.reserve(allow.prefixes.size() + deny.prefixes.size());
    for (const auto& prefix : allow.prefixes) entries.push_back({prefix, allowed});
    for (const auto& prefix : deny.prefixes) entries.push_back({prefix, denied});  // the last wins
    return PrefixTable(std::move(entries));
}

}  // namespace

AccessRules::AccessRules(const PeerList& allow, const PeerList& deny, bool only_allowed)
    : table_(make_table(allow, deny)),
      denies_others_(deny.all || (only_allowed && !allow.all)),
      denies_unix_(deny.unix_peers || (denies_others_ && !allow.unix_peers)) {}

bool AccessRules::denies(const CompactEndpoint& peer) const noexcept {
    if (peer.is_unix()) return denies_unix_;
    const auto verdict = table_.find(peer);
    return verdict ? *verdict == denied : denies_others_;
}

}  // namespace penstock::balancer
