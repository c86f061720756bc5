#include "config/leads_to.hpp"

#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

namespace penstock::config {

namespace {

// To one upstream, or to several.
bool goes_to(const std::string& upstream, const std::string& only,
             const std::vector<SplitPart>& split) {
    return only == upstream ||
           std::ranges::find(split, upstream, &SplitPart::upstream) != split.end();
}

// By what the listener itself says, or by a server name.
bool goes_to(const std::string& upstream, const Listener& listener) {
    return goes_to(upstream, listener.upstream, listener.split) ||
           std::ranges::find(listener.sni, upstream, &SniUpstream::upstream) != listener.sni.end();
}

}  // namespace

bool leads_to(const Listener& listener, const std::string& upstream, Role role) {
    if (listener.role == role && goes_to(upstream, listener)) return true;
    return std::ranges::any_of(listener.routes, [&](const Route& route) {
        return (route.role == Role::none ? listener.role : route.role) == role &&
               goes_to(upstream, route.upstream, route.split);
    });
}

std::vector<Destination> destinations(const Listener& listener) {
    std::vector<Destination> all;
    const auto add_split = [&](const std::vector<SplitPart>& split, Role role,
                               const std::string& around) {
        for (std::size_t j = 0; j < split.size(); ++j)
            all.push_back(
                {split[j].upstream, role, fmt::format("{}split[{}]", around, j), "upstream"});
    };
    if (!listener.upstream.empty())
        all.push_back({listener.upstream, listener.role, "", "upstream"});
    add_split(listener.split, listener.role, "");
    std::unordered_set<std::string_view> seen;
    for (const auto& row : listener.sni)
        if (seen.insert(row.upstream).second)
            all.push_back({row.upstream, listener.role, "sni", row.name});
    for (std::size_t j = 0; j < listener.routes.size(); ++j) {
        const auto& route = listener.routes[j];
        const auto role = route.role == Role::none ? listener.role : route.role;
        if (!route.upstream.empty())
            all.push_back({route.upstream, role, fmt::format("route[{}]", j), "upstream"});
        add_split(route.split, role, fmt::format("route[{}].", j));
    }
    return all;
}

bool leads_starttls_to(const Listener& listener, const std::string& upstream) {
    const bool all = listener.starttls != StartTls::none;
    if (all && goes_to(upstream, listener)) return true;
    return std::ranges::any_of(listener.routes, [&](const Route& route) {
        return (all || route.starttls != StartTls::none) &&
               goes_to(upstream, route.upstream, route.split);
    });
}

}  // namespace penstock::config
