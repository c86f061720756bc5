#include "admin/metrics_page.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "admin/metrics_parts.hpp"

namespace penstock::admin {

namespace metrics_parts {

void begin(Exposition& page, Type type, std::string_view name, std::string_view help) {
    const std::string full = fmt::format("penstock_{}", name);
    switch (type) {
        case Type::counter: return page.counter(full, help);
        case Type::gauge: return page.gauge(full, help);
        case Type::histogram: return page.histogram(full, help);
    }
}

double epoch_seconds(WallTime time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

Labels with(Labels labels, std::string name, std::string_view value) {
    labels.emplace_back(std::move(name), std::string(value));
    return labels;
}

namespace {

// As readyz_of() sees it.
bool is_draining(const Overview& overview) {
    return overview.process.draining ||
           std::ranges::any_of(overview.listeners, &ListenerView::draining);
}

void add_process(Exposition& page, const Overview& overview) {
    const ProcessView& process = overview.process;
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
        from_bool(is_draining(overview)));
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
    if (!overview.revocations.empty())
        begin(page, Type::gauge, "tls_revocations_next_update_timestamp_seconds",
              "When the list of revocations in a file expires; with several, the first of them.");
    for (const auto& lists : overview.revocations)
        page.add({{"owner", lists.owner}, {"file", lists.file}}, epoch_seconds(lists.next_update));
    begin(page, Type::counter, "tls_certificate_reloads_total",
          "Changes of certificates and keys on disk, by what became of them.");
    page.add({{"result", "success"}}, overview.certificate_reloads_ok);
    page.add({{"result", "failure"}}, overview.certificate_reloads_failed);
}

}  // namespace

}  // namespace metrics_parts

std::string metrics_page(const Overview& overview) {
    using namespace metrics_parts;
    Exposition page;
    add_process(page, overview);
    add_configuration(page, overview.process);
    add_workers(page, overview.process);
    add_listeners(page, overview);
    add_certificates(page, overview);
    add_sessions(page, overview);
    add_upstreams(page, overview);
    add_backends(page, overview);
    add_usage(page, overview.process.usage);
    return page.text();
}

}  // namespace penstock::admin
