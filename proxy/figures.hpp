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
    std::vector<Route> routes;  // one per upstream that its clients may come to

    /// Connections that ended for this reason, with an upstream or without.
    [[nodiscard]] std::uint64_t closed_by(CloseReason reason) const noexcept;
};

// Any thread, once the workers are configured: their cells may be read while they count. `listener`
// and `upstream` are indices of the configuration.

using Workers = std::vector<std::unique_ptr<Worker>>;

[[nodiscard]] ListenerFigures listener_figures(const Workers& workers, std::size_t listener);
[[nodiscard]] metrics::UpstreamTotals upstream_totals(const Workers& workers, std::size_t upstream);
[[nodiscard]] metrics::BackendTotals backend_totals(const balancer::Backend& backend);

}  // namespace penstock::proxy
