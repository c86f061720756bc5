#include "config/resolve.hpp"

#include <algorithm>

#include <fmt/format.h>

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

bool asks_for_role(const Listener& listener, const std::string& upstream) {
    if (listener.role == Role::none) return false;
    return listener.upstream == upstream ||
           std::ranges::any_of(listener.split,
                               [&](const SplitPart& part) { return part.upstream == upstream; });
}

// Where it is better to serve nobody than the wrong one, or to wait.
void resolve_panic(const Config& config, Upstream& upstream, const Origins& origins,
                   const std::string& path) {
    if (is_given(origins, path, "panic_threshold") ||
        is_given(origins, "defaults.upstream", "panic_threshold"))
        return;
    const bool asked = std::ranges::any_of(config.listeners, [&](const Listener& listener) {
        return asks_for_role(listener, upstream.name);
    });
    if (asked || upstream.no_backend == NoBackend::hold) upstream.panic_threshold = 0;
}

}  // namespace

void resolve_defaults(Config& config, const Origins& origins) {
    if (config.admin.listeners.empty()) config.admin.listeners.emplace_back();
    for (std::size_t i = 0; i < config.listeners.size(); ++i)
        resolve_route(config.listeners[i], origins, fmt::format("listener[{}]", i));
    for (std::size_t i = 0; i < config.upstreams.size(); ++i)
        resolve_backends(config.upstreams[i], origins, fmt::format("upstream[{}]", i));
    for (std::size_t i = 0; i < config.upstreams.size(); ++i)
        resolve_panic(config, config.upstreams[i], origins, fmt::format("upstream[{}]", i));
}

}  // namespace penstock::config
