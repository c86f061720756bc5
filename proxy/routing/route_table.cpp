#include "proxy/routing/route_table.hpp"

#include <algorithm>
#include <functional>

namespace penstock::proxy {

namespace {

constexpr std::string_view any_label = "*.";

bool asks_hello(const config::Route& route) {
    return !route.sni.empty() || !route.alpn.empty() || route.tls != config::RouteTls::automatic ||
           route.starttls != config::StartTls::none;
}

}  // namespace

std::size_t NameTable::Hash::operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
}

void NameTable::add(std::string_view name, std::uint32_t value) {
    if (name.starts_with(any_label))
        suffixes_.emplace(name.substr(any_label.size()), value);
    else
        exact_.emplace(name, value);
}

std::optional<std::uint32_t> NameTable::find(std::string_view server_name) const noexcept {
    if (const auto found = exact_.find(server_name); found != exact_.end()) return found->second;
    if (suffixes_.empty()) return std::nullopt;
    for (auto dot = server_name.find('.'); dot != std::string_view::npos;
         dot = server_name.find('.', dot + 1)) {
        const auto found = suffixes_.find(server_name.substr(dot + 1));
        if (dot != 0 && found != suffixes_.end()) return found->second;
    }
    return std::nullopt;
}

RouteTable::RouteTable(const config::Listener& listener) {
    for (std::size_t i = 0; i < listener.sni.size(); ++i)
        names_.add(listener.sni[i].name, static_cast<std::uint32_t>(i));
    needs_hello_ = !names_.empty() || listener.starttls != config::StartTls::none;
    has_starttls_ = listener.starttls != config::StartTls::none;
    for (const config::Route& route : listener.routes) {
        Rule& rule = rules_.emplace_back();
        rule.any_name = route.sni.empty();
        for (const std::string& name : route.sni)
            if (name.empty())
                rule.no_name = true;
            else
                rule.names.add(name, 0);
        rule.alpn = route.alpn;
        rule.source = balancer::PeerSet(route.source);
        rule.starttls =
            route.starttls == config::StartTls::none ? listener.starttls : route.starttls;
        rule.needs_tls = route.tls != config::RouteTls::automatic;
        needs_hello_ = needs_hello_ || asks_hello(route);
        has_starttls_ = has_starttls_ || route.starttls != config::StartTls::none;
    }
}

RouteTable::Match RouteTable::find(const Arrival& arrival) const noexcept {
    if (arrival.plain_start) return {};
    if (!arrival.server_name.empty())
        if (const auto found = names_.find(arrival.server_name)) return {Match::Kind::name, *found};
    for (std::size_t i = 0; i < rules_.size(); ++i)
        if (matches(rules_[i], arrival)) return {Match::Kind::route, static_cast<std::uint32_t>(i)};
    return {};
}

bool RouteTable::matches(const Rule& rule, const Arrival& arrival) noexcept {
    if (arrival.starttls != config::StartTls::none && rule.starttls != arrival.starttls)
        return false;
    if (arrival.not_tls && rule.needs_tls) return false;
    const bool name_fits =
        rule.any_name ||
        (arrival.server_name.empty() ? rule.no_name
                                     : rule.names.find(arrival.server_name).has_value());
    if (!name_fits) return false;
    if (!rule.alpn.empty() &&
        std::ranges::find_first_of(rule.alpn, arrival.alpn) == rule.alpn.end())
        return false;
    return rule.source.empty() || rule.source.contains(arrival.client);
}

}  // namespace penstock::proxy
