#include "config/resolve.hpp"

#include <string_view>
#include <unordered_set>

#include <fmt/format.h>

#include "config/check_parts.hpp"
#include "config/leads_to.hpp"

namespace penstock::config {

namespace {

bool is_given(const Origins& origins, const std::string& table, std::string_view key) {
    return origins.find(fmt::format("{}.{}", table, key)) != nullptr;
}

void resolve_route(Listener& listener, const Origins& origins, const std::string& path) {
    const bool upstream = is_given(origins, path, "upstream");
    // [[listener.split]] headers leave only the places of the parts.
    const bool split = is_given(origins, path, "split") || is_given(origins, path, "split[0]");
    if (upstream && !split) listener.split.clear();
    if (split && !upstream && !listener.split.empty()) listener.upstream.clear();
}

void resolve_backends(Upstream& upstream, const Origins& origins, const std::string& path) {
    const auto& defaults = upstream.backend_defaults;
    if (defaults == BackendDefaults{}) return;
    for (std::size_t i = 0; i < upstream.backends.size(); ++i) {
        auto& backend = upstream.backends[i];
        const auto table = fmt::format("{}.backend[{}]", path, i);
        if (!is_given(origins, table, "weight")) backend.weight = defaults.weight;
        if (!is_given(origins, table, "tier")) backend.tier = defaults.tier;
        if (!is_given(origins, table, "max_connections"))
            backend.max_connections = defaults.max_connections;
    }
}

std::unordered_set<std::string_view> asked_for_role(const Config& config) {
    std::unordered_set<std::string_view> names;
    for (const auto& listener : config.listeners)
        for (const auto& destination : destinations(listener))
            if (destination.role != Role::none) names.insert(destination.upstream);
    return names;
}

// Where it is better to serve nobody than the wrong one, or to wait.
void resolve_panic(bool asked, Upstream& upstream, const Origins& origins,
                   const std::string& path) {
    if (is_given(origins, path, "panic_threshold") ||
        is_given(origins, "defaults.upstream", "panic_threshold"))
        return;
    if (asked || upstream.no_backend == NoBackend::hold) upstream.panic_threshold = 0;
}

}  // namespace

void resolve_defaults(Config& config, const Origins& origins) {
    if (config.admin.listeners.empty()) config.admin.listeners.emplace_back();
    for (std::size_t i = 0; i < config.listeners.size(); ++i)
        resolve_route(config.listeners[i], origins, fmt::format("listener[{}]", i));
    for (std::size_t i = 0; i < config.upstreams.size(); ++i)
        resolve_backends(config.upstreams[i], origins, fmt::format("upstream[{}]", i));
    const auto asked = asked_for_role(config);
    for (std::size_t i = 0; i < config.upstreams.size(); ++i) {
        auto& upstream = config.upstreams[i];
        resolve_panic(asked.contains(upstream.name), upstream, origins,
                      fmt::format("upstream[{}]", i));
    }
}

}  // namespace penstock::config
