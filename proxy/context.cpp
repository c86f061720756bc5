#include "proxy/context.hpp"

#include <algorithm>
#include <utility>

#include "base/random.hpp"

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
      access(AccessPolicy::make(settings, {})) {
    const auto add = [this](const std::string& upstream) {
        const bool known = std::ranges::find(routes, upstream, &Route::upstream) != routes.end();
        if (upstream.empty() || known) return;
        routes.push_back({upstream, account->route(upstream)});
    };
    add(settings.upstream);
    for (const auto& part : settings.split) add(part.upstream);
}

ListenerShared::ListenerShared(config::Listener from, std::size_t workers,
                               const balancer::SourceTable::Size& sources)
    : ListenerShared(from, std::make_shared<ListenerAccount>(from.name, workers), sources) {
    gate.take_effect();
}

ListenerContext::ListenerContext(std::shared_ptr<ListenerShared> from, Router to,
                                 const std::vector<UpstreamPtr>& upstreams, unsigned worker)
    : shared(std::move(from)),
      router(std::move(to)),
      timeouts{shared->settings.timeouts.idle, shared->settings.timeouts.half_closed,
               shared->settings.peer_timeout},
      keepalive(keepalive_options(shared->settings.keepalive)),
      access(shared->access),
      cells(shared->account->cells[worker]) {
    for (std::size_t i = 0; i < upstreams.size(); ++i)
        routes.push_back({upstreams[i], &shared->routes[i].cells->at(worker)});
}

// Few, mostly one.
metrics::RouteCells& ListenerContext::cells_of(const UpstreamContext& upstream) noexcept {
    for (Route& route : routes)
        if (route.upstream.get() == &upstream) return *route.cells;
    std::unreachable();
}

}  // namespace penstock::proxy
