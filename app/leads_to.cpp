#include "app/leads_to.hpp"

#include <algorithm>

namespace penstock::app {

namespace {

// To one upstream, or to several.
bool goes_to(const std::string& upstream, const std::string& only,
             const std::vector<config::SplitPart>& split) {
    return only == upstream ||
           std::ranges::find(split, upstream, &config::SplitPart::upstream) != split.end();
}

}  // namespace

bool leads_to(const config::Listener& listener, const std::string& upstream, Role role) {
    if (listener.role == role &&
        (goes_to(upstream, listener.upstream, listener.split) ||
         std::ranges::find(listener.sni, upstream, &config::SniUpstream::upstream) !=
             listener.sni.end()))
        return true;
    return std::ranges::any_of(listener.routes, [&](const config::Route& route) {
        return (route.role == Role::none ? listener.role : route.role) == role &&
               goes_to(upstream, route.upstream, route.split);
    });
}

}  // namespace penstock::app
