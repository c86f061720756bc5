#include "proxy/router.hpp"

#include <utility>

#include "proxy/context.hpp"

namespace penstock::proxy {

namespace {

std::vector<balancer::Split::Part> parts_of(const std::vector<config::SplitPart>& split) {
    std::vector<balancer::Split::Part> parts;
    for (const auto& part : split) parts.push_back({part.upstream, part.weight});
    return parts;
}

std::uint64_t add_word(std::uint64_t hash, const std::uint8_t* bytes) noexcept {
    std::uint64_t word = 0;
    for (int i = 0; i < 8; ++i) word = word << 8 | bytes[i];
    // The finalizer of SplitMix64 (Steele, Lea and Flood, 2014) over hash and word.
    std::uint64_t z = (hash ^ word) + 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

}  // namespace

std::optional<std::uint64_t> source_hash(const CompactEndpoint& client,
                                         std::uint64_t seed) noexcept {
    if (!client.is_ipv4() && !client.is_ipv6()) return std::nullopt;
    return add_word(add_word(seed, client.bytes().data()), client.bytes().data() + 8);
}

Router::Router(const config::Listener& listener, std::vector<Upstream> upstreams,
               std::uint64_t hash_seed, Random& random)
    : upstreams_(std::move(upstreams)),
      split_(std::in_place, parts_of(listener.split), random),
      by_(listener.split_by),
      hash_seed_(hash_seed) {}

UpstreamContext* Router::by_split(const CompactEndpoint& client) noexcept {
    if (by_ == config::SplitBy::source_ip)
        if (const auto source = source_hash(client, hash_seed_))
            return upstreams_[split_->of_source(*source)].get();
    return upstreams_[split_->next()].get();
}

}  // namespace penstock::proxy
