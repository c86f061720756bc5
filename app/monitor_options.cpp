#include "app/monitor_options.hpp"

#include <algorithm>

#include "base/random.hpp"

namespace penstock::app {

namespace {

// To one upstream, or to several.
bool leads_to(const std::string& upstream, const std::string& only,
              const std::vector<config::SplitPart>& split) {
    return only == upstream ||
           std::ranges::find(split, upstream, &config::SplitPart::upstream) != split.end();
}

bool asks_for(const config::Config& config, const std::string& upstream, Role role) {
    return std::ranges::any_of(config.listeners, [&](const config::Listener& listener) {
        if (listener.role == role &&
            (leads_to(upstream, listener.upstream, listener.split) ||
             std::ranges::find(listener.sni, upstream, &config::SniUpstream::upstream) !=
                 listener.sni.end()))
            return true;
        return std::ranges::any_of(listener.routes, [&](const config::Route& route) {
            return (route.role == Role::none ? listener.role : route.role) == role &&
                   leads_to(upstream, route.upstream, route.split);
        });
    });
}

}  // namespace

health::UpstreamMonitor::Options monitor_options(const config::Config& config,
                                                 const config::Upstream& upstream,
                                                 std::size_t workers) {
    health::UpstreamMonitor::Options options{
        .roles = {.asked_primary = asks_for(config, upstream.name, Role::primary),
                  .asked_replica = asks_for(config, upstream.name, Role::replica)},
        .discovery = {.own_addresses = {}, .seed = entropy()},
        .workers = workers,
        .hash_seed = config.process.hash_seed,
        .seed = entropy()};
    for (const auto& listener : config.listeners)
        for (const auto& bind : listener.bind)
            if (!bind.inherited()) options.discovery.own_addresses.push_back(bind.address);
    return options;
}

}  // namespace penstock::app
