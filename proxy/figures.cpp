#include "proxy/figures.hpp"

#include <utility>

namespace penstock::proxy {

std::uint64_t ListenerFigures::closed_by(CloseReason reason) const noexcept {
    std::uint64_t sum = totals.closed[std::to_underlying(reason)];
    for (const Route& route : routes) sum += route.totals.closed[std::to_underlying(reason)];
    return sum;
}

ListenerFigures listener_figures(const ListenerAccount& listener) {
    ListenerFigures figures;
    // Ends before beginnings: nobody sees more connections closed than accepted.
    for (const auto& [upstream, workers] : listener.routes) {
        auto& route = figures.routes.emplace_back();
        route.upstream = upstream;
        for (const auto& cells : *workers) route.totals += cells;
    }
    for (const auto& cells : listener.cells) figures.totals += cells;
    return figures;
}

metrics::UpstreamTotals upstream_totals(const UpstreamShared& upstream) {
    metrics::UpstreamTotals totals;
    for (const auto& cells : upstream.cells) totals += cells;
    return totals;
}

metrics::BackendTotals backend_totals(const balancer::Backend& backend) {
    metrics::BackendTotals totals;
    for (const auto& cells : backend.cells()) totals += cells;
    totals += backend.verdict_cells();
    return totals;
}

}  // namespace penstock::proxy
