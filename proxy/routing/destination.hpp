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

/// Where a listener, or one of its routes, sends its clients: always to the same upstream, or by a
/// split. One per worker.
class Destination {
public:
    using Upstream = boost::intrusive_ptr<UpstreamContext>;

    /// Always `only`; null = nobody serves.
    explicit Destination(Upstream only) noexcept;
    /// `upstreams` are those of `split`, in its order. `hash_seed` as the process has it: the same
    /// on all workers, lest a client's share depends on which one accepted it.
    Destination(const std::vector<config::SplitPart>& split, config::SplitBy by,
                std::vector<Upstream> upstreams, std::uint64_t hash_seed, Random& random);

    Destination(Destination&&) noexcept;
    Destination& operator=(Destination&&) noexcept;
    ~Destination();

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
