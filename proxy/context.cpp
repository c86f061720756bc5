#include "proxy/context.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/random.hpp"
#include "config/to_backends.hpp"

namespace penstock::proxy {

const std::shared_ptr<RouteCellsOfWorkers>& ListenerAccount::route(const std::string& upstream) {
    auto& found = routes[upstream];
    if (!found) found = std::make_shared<RouteCellsOfWorkers>(cells.size());
    return found;
}

ListenerShared::ListenerShared(config::Listener from, std::shared_ptr<ListenerAccount> its_account,
                               const balancer::SourceTable::Size& sources,
                               const ListenerShared* before)
    : settings(std::move(from)),
      account(std::move(its_account)),
      gate(settings, account->connections, sources, SipHash(entropy(), entropy()),
           before != nullptr ? &before->gate : nullptr),
      table(settings),
      header_senders(settings.proxy_protocol_from),
      access(AccessPolicy::make(settings, {})) {
    std::unordered_set<std::string_view> known;
    const auto add = [&](const std::string& upstream) {
        if (upstream.empty() || !known.insert(upstream).second) return;
        routes.push_back({upstream, account->route(upstream)});
    };
    const auto add_all = [&](const std::string& upstream,
                             const std::vector<config::SplitPart>& split) {
        add(upstream);
        for (const auto& part : split) add(part.upstream);
    };
    add_all(settings.upstream, settings.split);
    for (const auto& route : settings.routes) add_all(route.upstream, route.split);
    for (const auto& entry : settings.sni) add(entry.upstream);
}

ListenerShared::ListenerShared(config::Listener from, std::size_t workers,
                               const balancer::SourceTable::Size& sources)
    : ListenerShared(from, std::make_shared<ListenerAccount>(from.name, workers), sources) {
    take_effect();
}

void ListenerShared::take_effect() {
    gate.take_effect();
    account->handshakes.set_limit(settings.tls ? settings.tls->max_handshakes : 0);
}

namespace {

Router::Named by_name(const std::vector<UpstreamPtr>& upstreams) {
    std::unordered_map<std::string_view, const UpstreamPtr*> names;
    for (const UpstreamPtr& upstream : upstreams) names.emplace(upstream->shared->name, &upstream);
    return [names = std::move(names)](const std::string& name) {
        const auto found = names.find(name);
        return found == names.end() ? UpstreamPtr() : *found->second;
    };
}

}  // namespace

ListenerContext::ListenerContext(std::shared_ptr<ListenerShared> from,
                                 const std::vector<UpstreamPtr>& upstreams, unsigned worker,
                                 std::uint64_t hash_seed, Random& random)
    : shared(std::move(from)),
      router(shared->settings, shared->table, by_name(upstreams), hash_seed, random),
      timeouts{shared->settings.timeouts.idle, shared->settings.timeouts.half_closed,
               shared->settings.peer_timeout},
      keepalive(keepalive_options(shared->settings.keepalive)),
      access(shared->access),
      tls(shared->tls),
      cells(shared->account->cells[worker]) {
    for (std::size_t i = 0; i < upstreams.size(); ++i)
        routes.push_back({upstreams[i], &shared->routes[i].cells->at(worker)});
    for (std::size_t i = 0; i < routes.size(); ++i) places.emplace(routes[i].upstream.get(), i);
    look_at_upstreams();
}

void ListenerContext::look_at_upstreams() {
    const config::Listener& of = settings();
    peeks = shared->table.needs_hello() ||
            (!of.tls && std::ranges::any_of(routes, [](const proxy::Route& route) {
                return config::wants_names(route.upstream->settings());
            }));
    receives = peeks || of.tls || of.proxy_protocol != config::ProxyProtocol::off;
}

UpstreamPtr ListenerContext::named(const std::string& upstream) const {
    const auto found = std::ranges::find(
        routes, upstream, [](const Route& route) { return route.upstream->shared->name; });
    return found == routes.end() ? nullptr : found->upstream;
}

metrics::RouteCells& ListenerContext::cells_of(const UpstreamContext& upstream) noexcept {
    // Mostly it has one.
    if (routes.front().upstream.get() == &upstream) return *routes.front().cells;
    return *routes[places.find(&upstream)->second].cells;
}

}  // namespace penstock::proxy
