#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>

#include "admin/metrics_parts.hpp"

namespace penstock::admin::metrics_parts {

namespace {

using Listeners = std::vector<const ListenerView*>;

// A session that ends for this reason never had an upstream.
bool before_routing(CloseReason reason) noexcept {
    switch (reason) {
        case CloseReason::limit_process:
        case CloseReason::limit_listener:
        case CloseReason::limit_source:
        case CloseReason::rate_listener:
        case CloseReason::rate_source:
        case CloseReason::denied:
        case CloseReason::overload:
        case CloseReason::proxy_header_invalid:
        case CloseReason::proxy_header_timeout:
        case CloseReason::proxy_header_untrusted:
        case CloseReason::client_hello_invalid:
        case CloseReason::client_hello_timeout:
        case CloseReason::no_route: return true;
        default: return false;
    }
}

// What may be refused by the gate: what a listener counts as refused, or would have.
constexpr CloseReason gate_reasons[] = {CloseReason::limit_process, CloseReason::limit_listener,
                                        CloseReason::limit_source,  CloseReason::rate_listener,
                                        CloseReason::rate_source,   CloseReason::denied};
// Also refused at the door, and never by a rule that could run dry.
constexpr CloseReason door_reasons[] = {CloseReason::overload, CloseReason::proxy_header_untrusted};

template <typename F>
void each_reason(F function) {
    for (std::size_t i = 1; i < close_reason_count; ++i) function(static_cast<CloseReason>(i));
}

using ListenerSeries =
    std::function<void(Exposition& page, const ListenerView& listener, const Labels& labels)>;

void for_listeners(Exposition& page, const Listeners& listeners, Type type, std::string_view name,
                   std::string_view help, const ListenerSeries& add) {
    begin(page, type, name, help);
    for (const auto* listener : listeners) add(page, *listener, {{"listener", listener->name}});
}

// Of those where TLS ends, or has ended.
void add_handshakes(Exposition& page, const Listeners& listeners) {
    Listeners with_tls;
    for (const auto* listener : listeners) {
        const auto& totals = listener->figures.totals;
        const bool any = std::ranges::any_of(totals.handshakes, [](auto n) { return n != 0; });
        if (listener->tls || any) with_tls.push_back(listener);
    }
    for_listeners(page, with_tls, Type::counter, "tls_handshakes_total",
                  "Handshakes with clients, by how they ended.",
                  [](auto& p, const auto& l, const auto& labels) {
                      for (std::size_t i = 0; i < metrics::handshake_count; ++i)
                          p.add(with(labels, "result", name_of(static_cast<metrics::Handshake>(i))),
                                l.figures.totals.handshakes[i]);
                  });
    for_listeners(page, with_tls, Type::histogram, "tls_handshake_seconds",
                  "What a handshake with a client took, waiting included.",
                  [](auto& p, const auto& l, const auto& labels) {
                      p.add(labels, l.figures.totals.handshake_time, metrics::wait_bounds_us);
                  });
}

void add_counts(Exposition& page, const Listeners& listeners) {
    for_listeners(page, listeners, Type::counter, "listener_connections_total",
                  "Connections that were accepted.",
                  [](auto& p, const auto& l, const auto& labels) {
                      p.add(labels, l.figures.totals.accepted);
                  });
    for_listeners(page, listeners, Type::counter, "listener_accept_errors_total",
                  "Failures of accept().", [](auto& p, const auto& l, const auto& labels) {
                      for (std::size_t i = 0; i < metrics::accept_error_count; ++i)
                          p.add(
                              with(labels, "error", name_of(static_cast<metrics::AcceptError>(i))),
                              l.figures.totals.accept_errors[i]);
                  });
    for_listeners(page, listeners, Type::counter, "listener_refused_total",
                  "Connections that were turned away; they count as accepted and closed too.",
                  [](auto& p, const auto& l, const auto& labels) {
                      for (const CloseReason reason : gate_reasons)
                          p.add(with(labels, "reason", name_of(reason)),
                                l.figures.totals.closed[std::to_underlying(reason)]);
                      for (const CloseReason reason : door_reasons)
                          p.add(with(labels, "reason", name_of(reason)),
                                l.figures.totals.closed[std::to_underlying(reason)]);
                  });
    for_listeners(page, listeners, Type::counter, "listener_would_refuse_total",
                  "Connections that a dry run let pass.",
                  [](auto& p, const auto& l, const auto& labels) {
                      for (const CloseReason reason : gate_reasons)
                          p.add(with(labels, "reason", name_of(reason)),
                                l.figures.totals.let_pass[std::to_underlying(reason)]);
                  });
    for_listeners(
        page, listeners, Type::counter, "listener_bytes_total",
        "Bytes that the receiving side has taken.", [](auto& p, const auto& l, const auto& labels) {
            p.add(with(labels, "direction", "to_backend"), l.figures.totals.bytes_to_backend);
            p.add(with(labels, "direction", "to_client"), l.figures.totals.bytes_to_client);
        });
    for_listeners(page, listeners, Type::gauge, "listener_connections_active",
                  "Clients connected now.",
                  [](auto& p, const auto& l, const auto& labels) { p.add(labels, l.active); });
    for_listeners(page, listeners, Type::histogram, "session_duration_seconds",
                  "From accepted to closed.", [](auto& p, const auto& l, const auto& labels) {
                      p.add(labels, l.figures.totals.duration, metrics::life_bounds_us);
                  });
    add_handshakes(page, listeners);
}

void add_gauges(Exposition& page, const Listeners& listeners) {
    for_listeners(page, listeners, Type::gauge, "listener_connections_limit",
                  "The listener's own limit; 0 = only that of the process.",
                  [](auto& p, const auto& l, const auto& labels) { p.add(labels, l.limit); });
    for_listeners(
        page, listeners, Type::gauge, "listener_accept_queue_length",
        "Connections that the kernel holds for the listener.",
        [](auto& p, const auto& l, const auto& labels) { p.add(labels, l.queue.length); });
    for_listeners(page, listeners, Type::gauge, "listener_accept_queue_limit",
                  "The most connections that the kernel holds for the listener.",
                  [](auto& p, const auto& l, const auto& labels) { p.add(labels, l.queue.limit); });
    for_listeners(page, listeners, Type::gauge, "listener_backends_available",
                  "Backends that are available in the role that the listener's clients ask for.",
                  [](auto& p, const auto& l, const auto& labels) {
                      for (const auto& to : l.destinations)
                          if (to.role != Role::none)
                              p.add(with(with(labels, "upstream", to.upstream), "role",
                                         penstock::name_of(to.role)),
                                    to.available);
                  });
}

Labels closed_labels(const std::string& listener, const std::string& upstream, CloseReason reason) {
    return {{"listener", listener},
            {"upstream", upstream},
            {"reason", std::string(name_of(reason))},
            {"class", std::string(name_of(class_of(reason)))}};
}

void add_ends(Exposition& page, const Listeners& listeners) {
    begin(page, Type::counter, "sessions_closed_total",
          "Connections that have ended, each with one reason; upstream is empty where none was "
          "chosen.");
    for (const auto* listener : listeners) {
        each_reason([&](CloseReason reason) {
            const auto ended = listener->figures.totals.closed[std::to_underlying(reason)];
            if (before_routing(reason) || ended != 0)
                page.add(closed_labels(listener->name, "", reason), ended);
        });
        for (const auto& route : listener->figures.routes)
            each_reason([&](CloseReason reason) {
                const auto ended = route.totals.closed[std::to_underlying(reason)];
                if (!before_routing(reason) || ended != 0)
                    page.add(closed_labels(listener->name, route.upstream, reason), ended);
            });
    }
}

void add_setup_times(Exposition& page, const Listeners& listeners) {
    begin(page, Type::histogram, "session_setup_seconds",
          "From accepted until the connection to the backend is there.");
    for (const auto* listener : listeners)
        for (const auto& route : listener->figures.routes)
            page.add({{"listener", listener->name}, {"upstream", route.upstream}},
                     route.totals.setup, metrics::wait_bounds_us);
}

}  // namespace

void add_listeners(Exposition& page, const Overview& overview) {
    add_counts(page, list(overview.listeners, overview.departed_listeners));
    add_gauges(page, list(overview.listeners));
}

void add_sessions(Exposition& page, const Overview& overview) {
    const auto listeners = list(overview.listeners, overview.departed_listeners);
    add_ends(page, listeners);
    add_setup_times(page, listeners);
}

}  // namespace penstock::admin::metrics_parts
