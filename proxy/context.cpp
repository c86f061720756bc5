#include "proxy/context.hpp"

#include <utility>

#include "base/random.hpp"

namespace penstock::proxy {

ListenerShared::ListenerShared(config::Listener from, std::size_t workers,
                               const balancer::SourceTable::Size& sources)
    : settings(std::move(from)),
      gate(settings, sources, SipHash(entropy(), entropy())),
      waiting(workers),
      access(AccessPolicy::make(settings, {})) {}

ListenerContext::ListenerContext(std::shared_ptr<ListenerShared> from, Router to,
                                 const std::vector<UpstreamPtr>& upstreams)
    : shared(std::move(from)),
      router(std::move(to)),
      timeouts{shared->settings.timeouts.idle, shared->settings.timeouts.half_closed,
               shared->settings.peer_timeout},
      keepalive(keepalive_options(shared->settings.keepalive)),
      access(shared->access) {
    for (const UpstreamPtr& upstream : upstreams) routes.push_back({upstream});
}

// Few, mostly one.
metrics::RouteCells& ListenerContext::cells_of(const UpstreamContext& upstream) noexcept {
    for (Route& route : routes)
        if (route.upstream.get() == &upstream) return *route.cells;
    std::unreachable();
}

}  // namespace penstock::proxy
