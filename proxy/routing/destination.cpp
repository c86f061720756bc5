#include "proxy/routing/destination.hpp"

#include <string_view>
#include <utility>

#include "balancer/hash.hpp"
#include "proxy/context.hpp"

namespace penstock::proxy {

namespace {

std::vector<balancer::Split::Part> parts_of(const std::vector<config::SplitPart>& split) {
    std::vector<balancer::Split::Part> parts;
    parts.reserve(split.size());
    for (const auto& part : split) parts.push_back({part.upstream, part.weight});
    return parts;
}

}  // namespace

std::optional<std::uint64_t> source_hash(const CompactEndpoint& client,
                                         std::uint64_t seed) noexcept {
    if (!client.is_ipv4() && !client.is_ipv6()) return std::nullopt;
    const auto& bytes = client.bytes();
    return balancer::hash64(
        std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), seed);
}

Destination::Destination(Upstream only) noexcept : only_(std::move(only)) {}
Destination::Destination(Destination&&) noexcept = default;
Destination& Destination::operator=(Destination&&) noexcept = default;
Destination::~Destination() = default;

Destination::Destination(const std::vector<config::SplitPart>& split, config::SplitBy by,
                         std::vector<Upstream> upstreams, std::uint64_t hash_seed, Random& random)
    : upstreams_(std::move(upstreams)),
      split_(std::in_place, parts_of(split), random),
      by_(by),
      hash_seed_(hash_seed) {}

UpstreamContext* Destination::by_split(const CompactEndpoint& client) noexcept {
    if (by_ == config::SplitBy::source_ip)
        if (const auto source = source_hash(client, hash_seed_))
            return upstreams_[split_->of_source(*source)].get();
    return upstreams_[split_->next()].get();
}

}  // namespace penstock::proxy
