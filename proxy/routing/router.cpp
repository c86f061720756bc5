#include "proxy/routing/router.hpp"

#include <utility>

#include "proxy/context.hpp"

namespace penstock::proxy {

namespace {

Destination destination(const std::string& upstream, const std::vector<config::SplitPart>& split,
                        config::SplitBy by, const Router::Named& named, std::uint64_t hash_seed,
                        Random& random) {
    if (split.empty()) return Destination(named(upstream));
    std::vector<Destination::Upstream> parts;
    parts.reserve(split.size());
    for (const auto& part : split) parts.push_back(named(part.upstream));
    return {split, by, std::move(parts), hash_seed, random};
}

}  // namespace

Router::Router(const config::Listener& listener, const RouteTable& table, const Named& named,
               std::uint64_t hash_seed, Random& random)
    : listener_(listener),
      table_(table),
      own_(destination(listener.upstream, listener.split, listener.split_by, named, hash_seed,
                       random)) {
    routes_.reserve(listener.routes.size());
    for (const auto& route : listener.routes)
        routes_.push_back(
            destination(route.upstream, route.split, listener.split_by, named, hash_seed, random));
    names_.reserve(listener.sni.size());
    for (const auto& entry : listener.sni) names_.push_back(named(entry.upstream));
}

void Router::set_split(const std::vector<std::uint32_t>& weights, const Named& named,
                       std::uint64_t hash_seed, Random& random) {
    std::vector<config::SplitPart> split = listener_.split;
    for (std::size_t i = 0; i < weights.size(); ++i) split[i].weight = weights[i];
    own_ = destination(listener_.upstream, split, listener_.split_by, named, hash_seed, random);
}

Choice Router::choose(const Arrival& arrival) noexcept {
    const RouteTable::Match match = table_.find(arrival);
    const bool has_tls = listener_.tls.has_value();
    switch (match.kind) {
        case RouteTable::Match::Kind::own: break;
        case RouteTable::Match::Kind::name:
            return {.upstream = names_[match.index].get(),
                    .role = listener_.role,
                    .terminates = has_tls,
                    .name = listener_.sni[match.index].name};
        case RouteTable::Match::Kind::route: {
            const config::Route& route = listener_.routes[match.index];
            return {.upstream = routes_[match.index].choose(arrival.client),
                    .role = route.role == Role::none ? listener_.role : route.role,
                    .terminates = has_tls && route.tls != config::RouteTls::passthrough,
                    .number = match.index + 1};
        }
    }
    return {.upstream = own_.choose(arrival.client), .role = listener_.role, .terminates = has_tls};
}

}  // namespace penstock::proxy
