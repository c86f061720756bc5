#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include "balancer/split.hpp"
#include "base/endpoint.hpp"
#include "base/random.hpp"
#include "config/config.hpp"

namespace penstock::proxy {

struct UpstreamContext;

/// Chooses the upstream of a listener's clients: always the same one, or by the listener's split.
/// One per worker and listener.
class Router {
public:
    using Upstream = boost::intrusive_ptr<UpstreamContext>;

    /// Always `only`; null = nobody serves.
    explicit Router(Upstream only) noexcept;
    /// `upstreams` are those of `listener.split`, in its order. `hash_seed` as the process has it:
    /// the same on all workers, lest a client's share depends on which one accepted it.
    Router(const config::Listener& listener, std::vector<Upstream> upstreams,
           std::uint64_t hash_seed, Random& random);

    Router(Router&&) noexcept;
    Router& operator=(Router&&) noexcept;
    ~Router();

    /// Null = no route.
    [[nodiscard]] UpstreamContext* choose(const CompactEndpoint& client) noexcept {
        return split_ ? by_split(client) : only_.get();
    }

private:
    [[nodiscard]] UpstreamContext* by_split(const CompactEndpoint& client) noexcept;

    Upstream only_;
    std::vector<Upstream> upstreams_;
    std::optional<balancer::Split> split_;
    config::SplitBy by_ = config::SplitBy::random;
    std::uint64_t hash_seed_ = 0;
};

/// A hash of a client's address without its port: the same on every instance with this seed.
/// Nothing for a unix peer, which has no address.
[[nodiscard]] std::optional<std::uint64_t> source_hash(const CompactEndpoint& client,
                                                       std::uint64_t seed) noexcept;

}  // namespace penstock::proxy
