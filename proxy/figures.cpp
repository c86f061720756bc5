#include "proxy/figures.hpp"

#include <utility>

namespace penstock::proxy {

std::uint64_t ListenerFigures::closed_by(CloseReason reason) const noexcept {
    std::uint64_t sum = totals.closed[std::to_underlying(reason)];
    for (const Route& route : routes) sum += route.totals.closed[std::to_underlying(reason)];
    return sum;
}

ListenerFigures listener_figures(const Workers& workers, std::size_t listener) {
    ListenerFigures figures;
    for (const auto& worker : workers) {
        const ListenerContext& context = *worker->listeners()[listener];
        figures.routes.resize(context.routes.size());
        // Ends before beginnings: nobody sees more connections closed than accepted.
        for (std::size_t i = 0; i < context.routes.size(); ++i) {
            figures.routes[i].upstream = context.routes[i].upstream->settings().name;
            figures.routes[i].totals += *context.routes[i].cells;
        }
        figures.totals += context.cells;
    }
    return figures;
}

metrics::UpstreamTotals upstream_totals(const Workers& workers, std::size_t upstream) {
    metrics::UpstreamTotals totals;
    for (const auto& worker : workers) totals += worker->upstreams()[upstream]->cells;
    return totals;
}

metrics::BackendTotals backend_totals(const balancer::Backend& backend) {
    metrics::BackendTotals totals;
    for (const auto& cells : backend.cells()) totals += cells;
    totals += backend.verdict_cells();
    return totals;
}

}  // namespace penstock::proxy
