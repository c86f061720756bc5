#include "app/monitor_options.hpp"

#include <algorithm>

#include "base/random.hpp"
#include "config/leads_to.hpp"

namespace penstock::app {

namespace {

bool asks_for(const config::Config& config, const std::string& upstream, Role role) {
    return std::ranges::any_of(config.listeners, [&](const config::Listener& listener) {
        return config::leads_to(listener, upstream, role);
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
