#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "metrics/totals.hpp"
#include "proxy/worker.hpp"

namespace penstock::proxy {

/// What all workers have counted for one listener.
struct ListenerFigures {
    struct Route {
        std::string upstream;
        metrics::RouteTotals totals;
    };
    metrics::ListenerTotals totals;
    std::vector<Route> routes;  // one per upstream that its clients have ever been able to come to

    /// Connections that ended for this reason, with an upstream or without.
    [[nodiscard]] std::uint64_t closed_by(CloseReason reason) const noexcept;
};

using Workers = std::vector<std::unique_ptr<Worker>>;

// The control thread; the workers may count meanwhile.

[[nodiscard]] ListenerFigures listener_figures(const ListenerAccount& listener);
[[nodiscard]] metrics::UpstreamTotals upstream_totals(const UpstreamShared& upstream);
[[nodiscard]] metrics::BackendTotals backend_totals(const balancer::Backend& backend);

}  // namespace penstock::proxy
