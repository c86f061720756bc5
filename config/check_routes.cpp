#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "config/check_parts.hpp"
#include "config/leads_to.hpp"
#include "config/to_backends.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

/// True if the route goes by the server name alone.
bool is_by_name(const Route& route) {
    return !route.sni.empty() && route.alpn.empty() && route.source.empty();
}

bool takes_all(const Route& route) {
    return route.sni.empty() && route.alpn.empty() && route.source.empty();
}

void check_tls_of_routes(const Check& check, const Listener& listener, const std::string& table) {
    for (std::size_t j = 0; j < listener.routes.size(); ++j) {
        const auto& route = listener.routes[j];
        const auto part = fmt::format("route[{}]", j);
        if (route.tls == RouteTls::terminate && !listener.tls)
            check.reporter.error(part_place(check, table, part, "tls"),
                                 fmt::format("tls = \"terminate\" needs certificates: add "
                                             "[listener.tls] to listener '{}'",
                                             listener.name));
        const bool has_tls = listener.tls || route.tls == RouteTls::passthrough ||
                             !route.sni.empty() || !route.alpn.empty();
        if (route.starttls != StartTls::none && !has_tls)
            check.reporter.error(part_place(check, table, part, "starttls"),
                                 "'starttls' needs TLS to follow: add [listener.tls], or tls = "
                                 "\"passthrough\" to the route");
    }
    if (listener.starttls != StartTls::none && !listener.tls && !peeks(listener))
        check.reporter.error(place(check, table, "starttls"),
                             fmt::format("listener '{}': 'starttls' needs TLS to follow: add "
                                         "[listener.tls], [listener.sni] or a route with tls = "
                                         "\"passthrough\"",
                                         listener.name));
}

/// Routes that are never reached.
void check_reach(const Check& check, const Listener& listener, const std::string& table) {
    std::unordered_set<std::string_view> taken;
    for (const auto& row : listener.sni) taken.insert(row.name);
    bool all_taken = false;
    for (std::size_t j = 0; j < listener.routes.size(); ++j) {
        const auto& route = listener.routes[j];
        const auto part = fmt::format("route[{}]", j);
        if (all_taken) {
            check.reporter.warning(part_place(check, table, part, ""),
                                   "no client gets to this [[listener.route]]: one above it has no "
                                   "condition");
            return;
        }
        all_taken = takes_all(route);
        const bool is_covered =
            !route.sni.empty() && std::ranges::all_of(route.sni, [&](const std::string& name) {
                return taken.contains(name);
            });
        if (is_covered)
            check.reporter.warning(part_place(check, table, part, "sni"),
                                   "no client gets to this [[listener.route]]: [listener.sni] and "
                                   "routes above it take all its names");
        if (is_by_name(route)) taken.insert(route.sni.begin(), route.sni.end());
    }
}

/// Upstreams that want names, on listeners that would not look for any.
void check_wanted_names(const Check& check, const Listener& listener, const std::string& table,
                        const std::unordered_map<std::string_view, std::string_view>& wanted) {
    if (listener.tls || peeks(listener)) return;
    for (const auto& destination : destinations(listener))
        if (const auto found = wanted.find(destination.upstream); found != wanted.end())
            check.reporter.warning(
                destination.part.empty()
                    ? place(check, table, destination.key)
                    : part_place(check, table, destination.part, destination.key),
                fmt::format("upstream '{}' has {}, so listener '{}' waits for what its clients say "
                            "first, for {} ('client_hello' in [listener.timeouts]) from those who "
                            "say nothing; where all of them speak TLS, a [[listener.route]] with "
                            "tls = \"passthrough\" says so",
                            destination.upstream, found->second, listener.name,
                            format_duration(listener.timeouts.client_hello)));
}

}  // namespace

void check_routes(const Check& check) {
    std::unordered_map<std::string_view, std::string_view> wanted;
    for (const auto& upstream : check.config.upstreams)
        if (wants_names(upstream))
            wanted.emplace(upstream.name, upstream.send_proxy_protocol_tlvs.authority
                                              ? "\"authority\" in send_proxy_protocol_tlvs"
                                              : "hash_key = \"sni\"");
    for (std::size_t i = 0; i < check.config.listeners.size(); ++i) {
        const auto& listener = check.config.listeners[i];
        const auto table = listener_path(i);
        check_tls_of_routes(check, listener, table);
        check_reach(check, listener, table);
        check_wanted_names(check, listener, table, wanted);
    }
}

}  // namespace penstock::config
