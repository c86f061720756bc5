#include "config/leads_to.hpp"

#include <algorithm>

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

bool leads_starttls_to(const Listener& listener, const std::string& upstream) {
    const bool all = listener.starttls != StartTls::none;
    if (all && goes_to(upstream, listener)) return true;
    return std::ranges::any_of(listener.routes, [&](const Route& route) {
        return (all || route.starttls != StartTls::none) &&
               goes_to(upstream, route.upstream, route.split);
    });
}

}  // namespace penstock::config
