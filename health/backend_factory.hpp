#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "balancer/backend_set.hpp"
#include "config/upstream.hpp"
#include "health/discovery/discovery.hpp"

namespace penstock::health {

/// A backend with what the upstream says of it now.
struct Placed {
    std::shared_ptr<balancer::Backend> backend;
    Discovered as;
};

/// Backends that have left their upstream, as long as somebody still holds them: one that comes
/// back in time is the same, with the sessions that it has. Any thread.
class DepartedBackends {
public:
    using BackendPtr = std::shared_ptr<balancer::Backend>;

    void add(const BackendPtr& backend);
    /// One of that name and address; null = none, or nobody holds it any more.
    [[nodiscard]] BackendPtr find(const std::string& upstream, const Discovered& as) const;
    /// All of them: they stay as long as the caller holds them.
    [[nodiscard]] std::vector<BackendPtr> all() const;
    /// Those that nobody holds: now and then.
    void forget_ended();

private:
    mutable std::mutex mutex_;
    // By upstream, name and address.
    std::map<std::pair<std::string, std::string>, std::weak_ptr<balancer::Backend>> backends_;
};

/// `workers`: how many will count for it.
[[nodiscard]] std::shared_ptr<balancer::Backend> make_backend(const config::Upstream& upstream,
                                                              const Discovered& from,
                                                              std::size_t workers);

/// The set of these backends, in their order within each tier. May take milliseconds for each
/// tier, where the policy needs hash tables. Any thread.
[[nodiscard]] std::shared_ptr<const balancer::BackendSet> make_backend_set(
    const config::Upstream& upstream, const std::vector<Placed>& backends, std::uint64_t hash_seed);

}  // namespace penstock::health
