#include "admin/metrics_page.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "metrics/exposition.hpp"

namespace penstock::admin {

using metrics::Exposition;
using metrics::Labels;

namespace {

constexpr std::string_view prefix = "penstock_";

enum class Type : std::uint8_t { counter, gauge, histogram };

void begin(Exposition& page, Type type, std::string_view name, std::string_view help) {
    const std::string full = fmt::format("{}{}", prefix, name);
    switch (type) {
        case Type::counter: return page.counter(full, help);
        case Type::gauge: return page.gauge(full, help);
        case Type::histogram: return page.histogram(full, help);
    }
}

double epoch_seconds(WallTime time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

std::uint64_t from_bool(bool value) noexcept { return value ? 1 : 0; }

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

using Listeners = std::vector<const ListenerView*>;
using Upstreams = std::vector<const UpstreamView*>;

/// `departed` after `present`.
template <typename View>
std::vector<const View*> list(const std::vector<View>& present,
                              const std::vector<View>& departed = {}) {
    std::vector<const View*> all;
    all.reserve(present.size() + departed.size());
    for (const View& view : present) all.push_back(&view);
    for (const View& view : departed) all.push_back(&view);
    return all;
}

template <typename F>
void each_reason(F function) {
    for (std::size_t i = 1; i < close_reason_count; ++i) function(static_cast<CloseReason>(i));
}

// --- the process --------------------------------------------------------------------------------

void add_process(Exposition& page, const ProcessView& process) {
    const auto one = [&](Type type, std::string_view name, std::string_view help, auto value) {
        begin(page, type, name, help);
        page.add({}, value);
    };
    begin(page, Type::gauge, "build_info", "The version that runs; always 1.");
    page.add({{"version", process.version}, {"compiler", process.compiler}}, std::uint64_t{1});
    one(Type::gauge, "start_time_seconds", "When this process started, since the epoch.",
        epoch_seconds(process.started));
    one(Type::gauge, "connections_active", "Clients connected now.", process.connections);
    one(Type::gauge, "connections_limit", "The most clients that may be connected.",
        process.connection_limit);
    one(Type::gauge, "memory_limit_bytes", "Memory below which this process stays; 0 = no limit.",
        process.memory_limit);
    one(Type::gauge, "overload_active",
        "Whether new connections are refused because memory is short.",
        from_bool(process.overload));
    one(Type::gauge, "draining", "Whether /readyz tells clients to go elsewhere.",
        from_bool(process.draining));
    begin(page, Type::gauge, "sandbox", "Whether a part of the sandbox is in force.");
    const auto& sandbox = process.sandbox;
    for (const auto& [part, on] : {std::pair("seccomp", sandbox.seccomp),
                                   {"landlock", sandbox.landlock},
                                   {"no_new_privs", sandbox.no_new_privs},
                                   {"capabilities", sandbox.capabilities}})
        page.add({{"part", part}}, from_bool(on));
    one(Type::counter, "access_log_lines_total", "Lines given to the access log.",
        process.access_log_lines);
    one(Type::counter, "access_log_dropped_total",
        "Lines of the access log that were lost: the disk was too slow or full.",
        process.access_log_dropped);
    one(Type::counter, "access_log_suppressed_total",
        "Lines of the access log that were left out under a flood of refusals.",
        process.access_log_suppressed);
    one(Type::counter, "log_dropped_total", "Lines of the process log that were lost.",
        process.log_dropped);
}

void add_configuration(Exposition& page, const ProcessView& process) {
    const auto one = [&](std::string_view name, std::string_view help, auto value) {
        begin(page, Type::gauge, name, help);
        page.add({}, value);
    };
    one("config_last_reload_success_timestamp_seconds",
        "When the configuration in effect was loaded, since the epoch.",
        epoch_seconds(process.last_reload_success));
    one("config_last_reload_successful", "Whether the last load succeeded.",
        from_bool(process.last_reload.ok));
    one("config_restart_required", "Whether a change waits for a restart.",
        from_bool(!process.restart_required.empty()));
    begin(page, Type::counter, "config_reloads_total",
          "Reloads of the configuration since the start.");
    page.add({{"result", "success"}}, process.reloads_succeeded);
    page.add({{"result", "failure"}}, process.reloads_failed);
    one("old_processes", "Processes that this one has taken over from, and that still live.",
        std::uint64_t{process.old_processes.size()});
}

void add_workers(Exposition& page, const ProcessView& process) {
    const auto label = [](const WorkerView& worker) {
        return Labels{{"worker", fmt::to_string(worker.id)}};
    };
    begin(page, Type::gauge, "worker_connections_active", "Clients of a worker.");
    for (const auto& worker : process.workers)
        page.add(label(worker), std::uint64_t{worker.connections});
    begin(page, Type::counter, "worker_busy_seconds_total",
          "Time that a worker's loop was not waiting for events.");
    for (const auto& worker : process.workers)
        page.add(label(worker), static_cast<double>(worker.totals.busy_us) / 1e6);
    begin(page, Type::histogram, "worker_loop_lag_seconds",
          "How long one turn of a worker's loop kept later events waiting.");
    for (const auto& worker : process.workers)
        page.add(label(worker), worker.totals.lag, metrics::wait_bounds_us);
}

void add_usage(Exposition& page, const ProcessUsage& usage) {
    page.counter("process_cpu_seconds_total", "CPU time of the process, user and system.");
    page.add({}, usage.cpu_s);
    page.gauge("process_resident_memory_bytes", "Memory of the process in RAM.");
    page.add({}, usage.resident_bytes);
    page.gauge("process_virtual_memory_bytes", "Address space of the process.");
    page.add({}, usage.virtual_bytes);
    page.gauge("process_open_fds", "Open descriptors.");
    page.add({}, usage.open_descriptors);
    page.gauge("process_max_fds", "The most descriptors that may be open.");
    page.add({}, usage.max_descriptors);
    page.gauge("process_start_time_seconds", "When the process started, since the epoch.");
    page.add({}, usage.started_s);
}

// --- listeners ----------------------------------------------------------------------------------

using ListenerSeries =
    std::function<void(Exposition& page, const ListenerView& listener, const Labels& labels)>;

void for_listeners(Exposition& page, const Listeners& listeners, Type type, std::string_view name,
                   std::string_view help, const ListenerSeries& add) {
    begin(page, type, name, help);
    for (const auto* listener : listeners) add(page, *listener, {{"listener", listener->name}});
}

Labels with(Labels labels, std::string name, std::string_view value) {
    labels.emplace_back(std::move(name), std::string(value));
    return labels;
}

// Also of those that have left.
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

void add_certificates(Exposition& page, const Overview& overview) {
    // A file may hold several: the first to expire counts.
    std::map<std::pair<std::string, std::string>, WallTime> first;
    for (const auto& certificate : overview.certificates) {
        const auto [known, is_new] =
            first.try_emplace({certificate.owner, certificate.file}, certificate.not_after);
        if (!is_new) known->second = std::min(known->second, certificate.not_after);
    }
    if (!first.empty())
        begin(page, Type::gauge, "tls_certificate_not_after_timestamp_seconds",
              "When the certificate in a file expires; with several, the first of them.");
    for (const auto& [place, when] : first)
        page.add({{"owner", place.first}, {"file", place.second}}, epoch_seconds(when));
    begin(page, Type::counter, "tls_certificate_reloads_total",
          "Changes of certificates and keys on disk, by what became of them.");
    page.add({{"result", "success"}}, overview.certificate_reloads_ok);
    page.add({{"result", "failure"}}, overview.certificate_reloads_failed);
}

void add_listener_counts(Exposition& page, const Listeners& listeners) {
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

void add_listener_gauges(Exposition& page, const Listeners& listeners) {
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
}

Labels closed_labels(const std::string& listener, const std::string& upstream, CloseReason reason) {
    return {{"listener", listener},
            {"upstream", upstream},
            {"reason", std::string(name_of(reason))},
            {"class", std::string(name_of(class_of(reason)))}};
}

void add_sessions(Exposition& page, const Listeners& listeners) {
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
    begin(page, Type::histogram, "session_setup_seconds",
          "From accepted until the connection to the backend is there.");
    for (const auto* listener : listeners)
        for (const auto& route : listener->figures.routes)
            page.add({{"listener", listener->name}, {"upstream", route.upstream}},
                     route.totals.setup, metrics::wait_bounds_us);
}

// --- upstreams ----------------------------------------------------------------------------------

using UpstreamSeries =
    std::function<void(Exposition& page, const UpstreamView& upstream, const Labels& labels)>;

void for_upstreams(Exposition& page, const Upstreams& upstreams, Type type, std::string_view name,
                   std::string_view help, const UpstreamSeries& add) {
    begin(page, type, name, help);
    for (const auto* upstream : upstreams) add(page, *upstream, {{"upstream", upstream->name}});
}

void add_upstream_gauges(Exposition& page, const Upstreams& upstreams) {
    const std::pair<std::pair<const char*, const char*>, std::uint64_t (*)(const UpstreamView&)>
        gauges[] = {
            {{"upstream_queue_length", "Clients that wait for a free slot."},
             [](const UpstreamView& u) { return u.queued; }},
            {{"upstream_queue_limit", "The most clients that may wait for a slot."},
             [](const UpstreamView& u) { return u.queue_limit; }},
            {{"upstream_held", "Clients that wait for a backend to become available."},
             [](const UpstreamView& u) { return u.held; }},
            {{"upstream_panic", "Whether failing backends are used because too few are well."},
             [](const UpstreamView& u) { return from_bool(u.panic); }},
            {{"upstream_backends_eligible", "Backends that may get a connection now."},
             [](const UpstreamView& u) { return u.eligible; }},
            {{"upstream_backends", "Backends."},
             [](const UpstreamView& u) { return std::uint64_t{u.backends.size()}; }},
            {{"upstream_role_conflict", "Whether two backends claim to be the primary."},
             [](const UpstreamView& u) { return from_bool(u.role_conflict); }},
        };
    for (const auto& [what, value] : gauges)
        for_upstreams(page, upstreams, Type::gauge, what.first, what.second,
                      [&](auto& p, const auto& u, const auto& labels) { p.add(labels, value(u)); });
    for_upstreams(page, upstreams, Type::gauge, "upstream_hash_checksum",
                  "Equal on two instances that hash alike; 0 = the policy has no table.",
                  [](auto& p, const auto& u, const auto& labels) {
                      // As many bits as a double shows exactly.
                      p.add(labels, u.hash_checksum & ((std::uint64_t{1} << 53) - 1));
                  });
}

void add_upstream_counts(Exposition& page, const Upstreams& upstreams) {
    for_upstreams(page, upstreams, Type::histogram, "upstream_queue_seconds",
                  "How long clients waited for a slot or a backend.",
                  [](auto& p, const auto& u, const auto& labels) {
                      p.add(labels, u.totals.waited, metrics::wait_bounds_us);
                  });
    for_upstreams(
        page, upstreams, Type::counter, "upstream_retries_total",
        "Attempts after the first one of a session.",
        [](auto& p, const auto& u, const auto& labels) { p.add(labels, u.totals.retries); });
    for_upstreams(
        page, upstreams, Type::counter, "upstream_retry_budget_exhausted_total",
        "Attempts that were not made because the budget of retries was used up.",
        [](auto& p, const auto& u, const auto& labels) { p.add(labels, u.totals.retries_denied); });
    for_upstreams(
        page, upstreams, Type::counter, "upstream_panic_picks_total",
        "Connections that were given to a failing backend because of panic.",
        [](auto& p, const auto& u, const auto& labels) { p.add(labels, u.totals.panic_picks); });
}

void add_source_addresses(Exposition& page, const Upstreams& upstreams) {
    for_upstreams(page, upstreams, Type::gauge, "source_ports_in_use",
                  "Connections to backends that are open from a source address.",
                  [](auto& p, const auto& u, const Labels& labels) {
                      for (const auto& [address, connections] : u.source_addresses)
                          p.add(with(labels, "address", address), connections);
                  });
}

void add_sources(Exposition& page, const Upstreams& upstreams) {
    begin(page, Type::counter, "dns_queries_total", "Look-ups of an upstream's names.");
    for (const auto* upstream : upstreams) {
        std::uint64_t ok = 0;
        std::uint64_t failed = 0;
        for (const auto& source : upstream->sources)
            if (source.is_dns) {
                ok += source.answers;
                failed += source.failures;
            }
        if (!upstream->looks_up()) continue;
        page.add({{"upstream", upstream->name}, {"result", "ok"}}, ok);
        page.add({{"upstream", upstream->name}, {"result", "failed"}}, failed);
    }
    begin(page, Type::gauge, "dns_last_success_timestamp_seconds",
          "When a name server last gave a good answer, since the epoch; of several names, the "
          "one that has waited longest. 0 = not yet.");
    for (const auto* upstream : upstreams) {
        if (!upstream->looks_up()) continue;
        double oldest = -1;
        for (const auto& source : upstream->sources) {
            if (!source.is_dns) continue;
            const double at = source.last_success ? epoch_seconds(*source.last_success) : 0;
            oldest = oldest < 0 ? at : std::min(oldest, at);
        }
        page.add({{"upstream", upstream->name}}, std::max(oldest, 0.0));
    }
}

// --- backends -----------------------------------------------------------------------------------

using BackendSeries =
    std::function<void(Exposition& page, const BackendView& backend, const Labels& labels)>;

void each_backend(Exposition& page, const Upstreams& upstreams, bool departed_too,
                  const BackendSeries& add) {
    for (const auto* upstream : upstreams) {
        const auto show = [&](const BackendView& backend) {
            add(page, backend, {{"upstream", upstream->name}, {"backend", backend.name}});
        };
        std::ranges::for_each(upstream->backends, show);
        if (departed_too) std::ranges::for_each(upstream->departed, show);
    }
}

void add_backend_gauges(Exposition& page, const Upstreams& upstreams) {
    begin(page, Type::gauge, "backend_info", "Where a backend is; always 1.");
    each_backend(page, upstreams, false, [](auto& p, const auto& b, Labels labels) {
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
        each_backend(page, upstreams, false, [&](auto& p, const auto& b, const auto& labels) {
            p.add(labels, gauge.value(b));
        });
    }
}

void add_backend_counts(Exposition& page, const Upstreams& upstreams) {
    begin(page, Type::gauge, "backend_connections_active",
          "Sessions on the backend, connecting ones included.");
    each_backend(page, upstreams, true,
                 [](auto& p, const auto& b, const auto& labels) { p.add(labels, b.active); });
    begin(page, Type::counter, "backend_connections_total",
          "Connections that were established, warm ones included.");
    each_backend(page, upstreams, true, [](auto& p, const auto& b, const auto& labels) {
        p.add(labels, b.totals.established);
    });
    begin(page, Type::counter, "backend_sessions_closed_total",
          "Sessions that had their connection to the backend and have ended.");
    each_backend(page, upstreams, true, [](auto& p, const auto& b, const auto& labels) {
        for (std::size_t i = 0; i < close_class_count; ++i)
            p.add(with(labels, "class", name_of(static_cast<CloseClass>(i))), b.totals.closed[i]);
    });
    begin(page, Type::counter, "backend_warm_total",
          "What sessions found in the pool (hit, miss), and how idle connections ended otherwise.");
    each_backend(page, upstreams, true, [](auto& p, const auto& b, const auto& labels) {
        for (std::size_t i = 0; i < metrics::warm_result_count; ++i)
            p.add(with(labels, "result", name_of(static_cast<metrics::WarmResult>(i))),
                  b.totals.warm[i]);
    });
    begin(page, Type::counter, "backend_connect_failures_total",
          "Attempts to connect that failed.");
    each_backend(page, upstreams, true, [](auto& p, const auto& b, const auto& labels) {
        for (std::size_t i = 1; i < attempt_error_count; ++i)
            p.add(with(labels, "error", penstock::name_of(static_cast<AttemptError>(i))),
                  b.totals.connect_failures[i]);
    });
    begin(page, Type::counter, "backend_bytes_total", "Bytes that the receiving side has taken.");
    each_backend(page, upstreams, true, [](auto& p, const auto& b, const auto& labels) {
        p.add(with(labels, "direction", "to_backend"), b.totals.bytes_to_backend);
        p.add(with(labels, "direction", "to_client"), b.totals.bytes_to_client);
    });
}

void add_backend_verdicts(Exposition& page, const Upstreams& upstreams) {
    begin(page, Type::counter, "backend_check_results_total", "Checks that have ended.");
    each_backend(page, upstreams, true, [](auto& p, const auto& b, const auto& labels) {
        p.add(with(labels, "result", "ok"), b.totals.checks_ok);
        p.add(with(labels, "result", "failed"), b.totals.checks_failed);
    });
    begin(page, Type::counter, "backend_check_transitions_total",
          "Changes of the check's verdict.");
    each_backend(page, upstreams, true, [](auto& p, const auto& b, const auto& labels) {
        p.add(with(labels, "to", "up"), b.totals.went_up);
        p.add(with(labels, "to", "down"), b.totals.went_down);
    });
    const auto causes = [&](const char* name, const char* help, auto counts) {
        begin(page, Type::counter, name, help);
        each_backend(page, upstreams, true, [&](auto& p, const auto& b, const auto& labels) {
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

void add_backend_times(Exposition& page, const Upstreams& upstreams) {
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
        each_backend(page, upstreams, true, [&](auto& p, const auto& b, const auto& labels) {
            p.add(labels, b.totals.*histogram, metrics::wait_bounds_us);
        });
    }
}

}  // namespace

std::string metrics_page(const Overview& overview) {
    Exposition page;
    add_process(page, overview.process);
    add_configuration(page, overview.process);
    add_workers(page, overview.process);
    const auto listeners = list(overview.listeners);
    const auto known_listeners = list(overview.listeners, overview.departed_listeners);
    add_listener_counts(page, known_listeners);
    add_listener_gauges(page, listeners);
    add_certificates(page, overview);
    add_sessions(page, known_listeners);
    const auto upstreams = list(overview.upstreams);
    const auto known_upstreams = list(overview.upstreams, overview.departed_upstreams);
    add_upstream_gauges(page, upstreams);
    add_upstream_counts(page, known_upstreams);
    add_source_addresses(page, known_upstreams);
    add_sources(page, upstreams);
    add_backend_gauges(page, upstreams);
    add_backend_counts(page, known_upstreams);
    add_backend_verdicts(page, known_upstreams);
    add_backend_times(page, known_upstreams);
    add_usage(page, overview.process.usage);
    return page.text();
}

}  // namespace penstock::admin
