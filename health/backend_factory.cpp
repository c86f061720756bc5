#include "health/backend_factory.hpp"

#include <utility>

namespace penstock::health {

namespace {

balancer::HashTables hash_tables_of(config::Balance balance) noexcept {
    if (balance == config::Balance::maglev) return balancer::HashTables::maglev;
    if (balance == config::Balance::ring_hash) return balancer::HashTables::ring;
    return balancer::HashTables::none;
}

}  // namespace

std::shared_ptr<balancer::Backend> make_backend(const config::Upstream& upstream,
                                                const Discovered& from, std::size_t workers) {
    return std::make_shared<balancer::Backend>(
        upstream.name, from.name, from.address,
        balancer::BackendLimits{from.max_connections, upstream.max_connecting_per_backend}, workers,
        from.host);
}

std::shared_ptr<const balancer::BackendSet> make_backend_set(const config::Upstream& upstream,
                                                             const std::vector<Placed>& backends,
                                                             std::uint64_t hash_seed) {
    std::vector<balancer::BackendEntry> entries;
    entries.reserve(backends.size());
    for (const auto& [backend, as] : backends)
        entries.push_back({backend, as.weight, as.tier, as.state == config::BackendState::ready});
    return std::make_shared<const balancer::BackendSet>(
        std::move(entries), balancer::SetOptions{.tiers_join = upstream.tier_join_below > 0,
                                                 .hash_tables = hash_tables_of(upstream.balance),
                                                 .hash_seed = hash_seed});
}

}  // namespace penstock::health
