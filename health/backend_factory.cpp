#include "health/backend_factory.hpp"

#include <utility>

namespace penstock::health {

namespace {

balancer::HashTables hash_tables_of(config::Balance balance) noexcept {
    if (balance == config::Balance::maglev) return balancer::HashTables::maglev;
    if (balance == config::Balance::ring_hash) return balancer::HashTables::ring;
    return balancer::HashTables::none;
}

std::pair<std::string, std::string> key_of(const std::string& upstream, const std::string& name,
                                           const Endpoint& address) {
    return {upstream, name + ' ' + address.to_string()};
}

}  // namespace

void DepartedBackends::add(const BackendPtr& backend) {
    const std::scoped_lock lock(mutex_);
    backends_[key_of(backend->upstream(), backend->name(), backend->address())] = backend;
}

DepartedBackends::BackendPtr DepartedBackends::find(const std::string& upstream,
                                                    const Discovered& as) const {
    const std::scoped_lock lock(mutex_);
    const auto found = backends_.find(key_of(upstream, as.name, as.address));
    return found == backends_.end() ? nullptr : found->second.lock();
}

std::vector<DepartedBackends::BackendPtr> DepartedBackends::all() const {
    const std::scoped_lock lock(mutex_);
    std::vector<BackendPtr> held;
    for (const auto& [key, backend] : backends_)
        if (auto still = backend.lock()) held.push_back(std::move(still));
    return held;
}

void DepartedBackends::forget_ended() {
    const std::scoped_lock lock(mutex_);
    std::erase_if(backends_, [](const auto& entry) { return entry.second.expired(); });
}

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
