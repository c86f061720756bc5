#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "admin/metrics_parts.hpp"

namespace penstock::admin::metrics_parts {

namespace {

using Upstreams = std::vector<const UpstreamView*>;

using BackendSeries =
    std::function<void(Exposition& page, const BackendView& backend, const Labels& labels)>;

// Which of an upstream's backends: those that it has, or also those that have left.
enum class Of : std::uint8_t { now, ever };

void each_backend(Exposition& page, const Upstreams& upstreams, Of which,
                  const BackendSeries& add) {
    for (const auto* upstream : upstreams) {
        const auto show = [&](const BackendView& backend) {
            add(page, backend, {{"upstream", upstream->name}, {"backend", backend.name}});
        };
        std::ranges::for_each(upstream->backends, show);
        if (which == Of::ever) std::ranges::for_each(upstream->departed, show);
    }
}

void add_gauges(Exposition& page, const Upstreams& upstreams) {
    begin(page, Type::gauge, "backend_info", "Where a backend is; always 1.");
    each_backend(page, upstreams, Of::now, [](auto& p, const auto& b, Labels labels) {
        labels.emplace_back("address", b.address);
        labels.emplace_back("tier", fmt::to_string(b.tier));
        p.add(labels, std::uint64_t{1});
    });
    const auto well = [](const BackendView& b) {
        return from_bool((!b.check.enabled || (b.check.settled && b.check.up)) &&
                         b.circuit.state != balancer::CircuitState::open);
    };
    struct Gauge {
        const char* name;
        const char* help;
        std::function<double(const BackendView&)> value;
    };
    const auto integer = [](auto value) {
        return [value](const BackendView& b) { return static_cast<double>(value(b)); };
    };
    const Gauge gauges[] = {
        {"backend_connections_limit", "The backend's limit on connections; 0 = none.",
         integer([](const BackendView& b) { return b.limit; })},
        {"backend_connecting", "Connections that are being made.",
         integer([](const BackendView& b) { return b.connecting; })},
        {"backend_weight", "The weight now, with slow start and what an operator has set.",
         [](const BackendView& b) { return b.effective_weight; }},
        {"backend_override", "Whether an operator has changed its state or weight while running.",
         integer([](const BackendView& b) { return from_bool(b.override.has_value()); })},
        {"backend_warm_connections", "Connections that are open ahead of need.",
         integer([](const BackendView& b) { return b.warm; })},
        {"backend_up", "Whether its check is up and its circuit is not open.", integer(well)},
        {"backend_eligible", "Whether it may get a connection now.",
         integer([](const BackendView& b) { return from_bool(b.eligible); })},
        {"backend_check_up", "Whether its check is up; 1 without checks.",
         integer([](const BackendView& b) {
             return from_bool(!b.check.enabled || (b.check.settled && b.check.up));
         })},
        {"backend_circuit_state", "0 closed, 1 half-open, 2 open.",
         integer([](const BackendView& b) -> std::uint64_t {
             switch (b.circuit.state) {
                 case balancer::CircuitState::closed: return 0;
                 case balancer::CircuitState::half_open: return 1;
                 case balancer::CircuitState::open: return 2;
             }
             std::unreachable();
         })},
        {"backend_admin_state", "0 ready, 1 drain, 2 maintenance.",
         integer([](const BackendView& b) { return std::uint64_t{std::to_underlying(b.state)}; })},
        {"backend_role", "0 unknown, 1 primary, 2 replica.", integer([](const BackendView& b) {
             return std::uint64_t{std::to_underlying(b.check.role)};
         })},
    };
    for (const Gauge& gauge : gauges) {
        begin(page, Type::gauge, gauge.name, gauge.help);
        each_backend(page, upstreams, Of::now, [&](auto& p, const auto& b, const auto& labels) {
            p.add(labels, gauge.value(b));
        });
    }
}

void add_counts(Exposition& page, const Upstreams& upstreams) {
    begin(page, Type::gauge, "backend_connections_active",
          "Sessions on the backend, connecting ones included.");
    each_backend(page, upstreams, Of::ever,
                 [](auto& p, const auto& b, const auto& labels) { p.add(labels, b.active); });
    begin(page, Type::counter, "backend_connections_total",
          "Connections that were established, warm ones included.");
    each_backend(page, upstreams, Of::ever, [](auto& p, const auto& b, const auto& labels) {
        p.add(labels, b.totals.established);
    });
    begin(page, Type::counter, "backend_sessions_closed_total",
          "Sessions that had their connection to the backend and have ended.");
    each_backend(page, upstreams, Of::ever, [](auto& p, const auto& b, const auto& labels) {
        for (std::size_t i = 0; i < close_class_count; ++i)
            p.add(with(labels, "class", name_of(static_cast<CloseClass>(i))), b.totals.closed[i]);
    });
    begin(page, Type::counter, "backend_warm_total",
          "What sessions found in the pool (hit, miss), and how idle connections ended otherwise.");
    each_backend(page, upstreams, Of::ever, [](auto& p, const auto& b, const auto& labels) {
        for (std::size_t i = 0; i < metrics::warm_result_count; ++i)
            p.add(with(labels, "result", name_of(static_cast<metrics::WarmResult>(i))),
                  b.totals.warm[i]);
    });
    begin(page, Type::counter, "backend_connect_failures_total",
          "Attempts to connect that failed.");
    each_backend(page, upstreams, Of::ever, [](auto& p, const auto& b, const auto& labels) {
        for (std::size_t i = 1; i < attempt_error_count; ++i)
            p.add(with(labels, "error", penstock::name_of(static_cast<AttemptError>(i))),
                  b.totals.connect_failures[i]);
    });
    begin(page, Type::counter, "backend_bytes_total", "Bytes that the receiving side has taken.");
    each_backend(page, upstreams, Of::ever, [](auto& p, const auto& b, const auto& labels) {
        p.add(with(labels, "direction", "to_backend"), b.totals.bytes_to_backend);
        p.add(with(labels, "direction", "to_client"), b.totals.bytes_to_client);
    });
}

void add_verdicts(Exposition& page, const Upstreams& upstreams) {
    begin(page, Type::counter, "backend_check_results_total", "Checks that have ended.");
    each_backend(page, upstreams, Of::ever, [](auto& p, const auto& b, const auto& labels) {
        p.add(with(labels, "result", "ok"), b.totals.checks_ok);
        p.add(with(labels, "result", "failed"), b.totals.checks_failed);
    });
    begin(page, Type::counter, "backend_check_transitions_total",
          "Changes of the check's verdict.");
    each_backend(page, upstreams, Of::ever, [](auto& p, const auto& b, const auto& labels) {
        p.add(with(labels, "to", "up"), b.totals.went_up);
        p.add(with(labels, "to", "down"), b.totals.went_down);
    });
    const auto causes = [&](const char* name, const char* help, auto counts) {
        begin(page, Type::counter, name, help);
        each_backend(page, upstreams, Of::ever, [&](auto& p, const auto& b, const auto& labels) {
            for (std::size_t i = 0; i < metrics::circuit_cause_count; ++i)
                p.add(with(labels, "cause", name_of(static_cast<metrics::CircuitCause>(i))),
                      (b.totals.*counts)[i]);
        });
    };
    causes("backend_circuit_opened_total", "Times that the circuit was opened.",
           &metrics::BackendTotals::circuit_opened);
    causes("backend_circuit_would_open_total", "Times that a dry run left the circuit closed.",
           &metrics::BackendTotals::circuit_would_open);
}

void add_times(Exposition& page, const Upstreams& upstreams) {
    const std::pair<std::pair<const char*, const char*>,
                    metrics::HistogramTotals metrics::BackendTotals::*>
        histograms[] = {
            {{"backend_connect_seconds", "How long connecting took."},
             &metrics::BackendTotals::connect},
            {{"backend_first_byte_seconds",
              "From the connection being there to the backend's first byte."},
             &metrics::BackendTotals::first_byte},
            {{"backend_check_seconds", "How long checks took."}, &metrics::BackendTotals::check},
        };
    for (const auto& [what, histogram] : histograms) {
        begin(page, Type::histogram, what.first, what.second);
        each_backend(page, upstreams, Of::ever, [&](auto& p, const auto& b, const auto& labels) {
            p.add(labels, b.totals.*histogram, metrics::wait_bounds_us);
        });
    }
}

}  // namespace

void add_backends(Exposition& page, const Overview& overview) {
    const auto known = list(overview.upstreams, overview.departed_upstreams);
    add_gauges(page, list(overview.upstreams));
    add_counts(page, known);
    add_verdicts(page, known);
    add_times(page, known);
}

}  // namespace penstock::admin::metrics_parts
