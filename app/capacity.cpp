#include "app/capacity.hpp"

#include <utility>

#include "app/monitors.hpp"

namespace penstock::app {

std::expected<Capacity, std::string> plan_capacity(const config::Config& config) {
    const std::size_t workers =
        config.process.workers != 0 ? config.process.workers : usable_cores();
    std::size_t sockets = 0;
    for (const auto& listener : config.listeners)
        for (const auto& bind : listener.bind) sockets += bind.address.is_unix() ? 1 : workers;
    auto limit = connection_limit(
        config.process.max_connections, raise_descriptor_limit(),
        {workers, sockets, warm_connections(config), Monitors::descriptors(config)});
    if (!limit) return std::unexpected(limit.error());
    return Capacity{workers, *std::move(limit)};
}

}  // namespace penstock::app
