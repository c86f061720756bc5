// What is shown of the running proxy.
#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "app/off_thread.hpp"
#include "app/operations/explainer.hpp"
#include "app/operations/service.hpp"
#include "app/operations/usage.hpp"
#include "app/operations/words.hpp"
#include "app/reload/reloader.hpp"
#include "app/version.hpp"
#include "config/leads_to.hpp"
#include "config/names.hpp"
#include "config/value.hpp"

namespace penstock::app {

using admin::BackendView;
using admin::ListenerView;
using admin::ProcessView;
using admin::UpstreamView;

namespace {

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

double ms(Duration duration) { return seconds(duration) * 1000; }

// A moment of the monotonic clock, as the wall shows it.
WallTime wall_of(TimePoint time, TimePoint now) {
    return wall_now() - std::chrono::duration_cast<std::chrono::milliseconds>(now - time);
}

std::optional<double> until(TimePoint time, TimePoint now) {
    if (time == no_deadline) return std::nullopt;
    return std::max(seconds(time - now), 0.0);
}

admin::SandboxView view_of(const sandbox::Sandbox& sandbox) {
    const auto on = [&sandbox](std::string_view name) {
        const auto& parts = sandbox.parts();
        const auto found = std::ranges::find(parts, name, &sandbox::Part::name);
        return found != parts.end() && found->on;
    };
    return {.mode = std::string(sandbox.mode_name()),
            .seccomp = on("seccomp"),
            .landlock = on("landlock"),
            .no_new_privs = on("no_new_privs"),
            .capabilities = on("capabilities"),
            .missing = sandbox.missing()};
}

std::vector<admin::SourceAddressView> views_of(const proxy::SourceBook& book) {
    std::vector<admin::SourceAddressView> views;
    for (const auto& [address, connections] : book.in_use())
        views.push_back({config::format_local_address(address), connections});
    return views;
}

}  // namespace

boost::asio::awaitable<std::string> Service::shown(Show show) {
    auto writing = off_thread(parts_.context, writer_,
                              [overview = overview(), show] { return show(overview); });
    co_return co_await std::move(writing);
}

admin::Overview Service::overview() {
    const TimePoint now = SteadyClock().now();
    follow_backends(now);
    admin::Overview overview{.process = process_view(now)};
    for (std::size_t i = 0; i < config().listeners.size(); ++i)
        overview.listeners.push_back(listener_view(i));
    for (std::size_t i = 0; i < config().upstreams.size(); ++i)
        overview.upstreams.push_back(upstream_view(i, now));
    add_destinations(overview);
    for (const auto& account : parts_.server.departed_listeners())
        overview.departed_listeners.push_back({.name = account->name,
                                               .active = account->connections.used(),
                                               .figures = proxy::listener_figures(*account)});
    for (const auto& shared : parts_.server.departed_upstreams())
        overview.departed_upstreams.push_back({.name = shared->name,
                                               .totals = proxy::upstream_totals(*shared),
                                               .source_addresses = views_of(shared->sources),
                                               .departed = departed_backends(shared->name)});
    add_certificates(overview);
    add_old_processes(overview);
    return overview;
}

void Service::add_destinations(admin::Overview& overview) const {
    std::unordered_map<std::string_view, std::size_t> upstreams;
    for (std::size_t i = 0; i < config().upstreams.size(); ++i)
        upstreams.emplace(config().upstreams[i].name, i);
    for (std::size_t i = 0; i < config().listeners.size(); ++i) {
        std::set<std::pair<std::string_view, Role>> seen;
        for (const auto& to : config::destinations(config().listeners[i])) {
            if (!seen.emplace(to.upstream, to.role).second) continue;
            const auto& health = parts_.monitors.of(upstreams.at(to.upstream)).health();
            overview.listeners[i].destinations.push_back(
                {std::string(to.upstream), to.role, health.available(to.role)});
        }
    }
}

void Service::add_certificates(admin::Overview& overview) const {
    if (peers_.tls_files == nullptr) return;
    for (const auto& [owner, of_listener, info] : peers_.tls_files->certificates()) {
        const auto not_after =
            std::chrono::time_point_cast<std::chrono::milliseconds>(info.not_after);
        overview.certificates.push_back(
            {owner, info.file, info.subject, info.names, not_after,
             std::chrono::duration<double>(not_after - wall_now()).count()});
        const auto listener = std::ranges::find(overview.listeners, owner, &ListenerView::name);
        if (of_listener && listener != overview.listeners.end())
            listener->certificates.push_back(overview.certificates.back());
    }
    for (const auto& [owner, file, next_update] : peers_.tls_files->revocations())
        overview.revocations.push_back(
            {owner, file, std::chrono::time_point_cast<std::chrono::milliseconds>(next_update)});
    overview.certificate_reloads_ok = peers_.tls_files->taken();
    overview.certificate_reloads_failed = peers_.tls_files->rejected();
}

ProcessView Service::process_view(TimePoint now) const {
    auto& shared = parts_.server.shared();
    ProcessView view{.version = std::string(version()),
                     .compiler = compiler(),
                     .pid = ::getpid(),
                     .uptime = now - started_,
                     .started = started_wall_,
                     .accepting = parts_.server.accepting() && !stopping_,
                     .draining = draining_ || stopping_,
                     .connections = shared.connections.used(),
                     .connection_limit = shared.connections.limit(),
                     .limit_cause = limit_.cause,
                     .memory_limit = shared.memory.limit.load(std::memory_order_relaxed),
                     .overload = shared.memory.overload(),
                     .access_log_dropped = parts_.server.log_lines_lost(),
                     .log_dropped = parts_.log.dropped(),
                     .took_over_from = took_over_from_,
                     .usage = process_usage()};
    if (peers_.sandbox != nullptr) view.sandbox = view_of(*peers_.sandbox);
    if (peers_.reloader != nullptr) {
        view.last_reload = peers_.reloader->last();
        view.last_reload_success = peers_.reloader->last_success();
        view.reloads_succeeded = peers_.reloader->succeeded();
        view.reloads_failed = peers_.reloader->failed();
        view.restart_required = peers_.reloader->restart_required();
    }
    const auto& workers = parts_.server.workers();
    for (std::size_t i = 0; i < workers.size(); ++i) {
        admin::WorkerView worker{.id = workers[i]->index(),
                                 .connections = shared.loads.at(i),
                                 .busy = worker_paces_[i].busy_us.per_second() / 1e6,
                                 .lag_ms = worker_paces_[i].lag.quantiles().p99_ms,
                                 .silent = watchdog_.silent(i, now),
                                 .stuck = watchdog_.stuck(i, now)};
        worker.totals += workers[i]->cells();
        view.access_log_lines += worker.totals.log_lines;
        view.access_log_dropped += worker.totals.log_dropped;
        view.access_log_suppressed += worker.totals.log_suppressed;
        view.workers.push_back(std::move(worker));
    }
    return view;
}

ListenerView Service::listener_view(std::size_t listener) const {
    const auto& settings = config().listeners[listener];
    const auto found = listener_paces_.find(settings.name);
    const ListenerPace pace = found == listener_paces_.end() ? ListenerPace{} : found->second;
    const auto queue = parts_.server.accept_queue(listener);
    ListenerView view{
        .name = settings.name,
        .upstream = settings.upstream,
        .role = settings.role,
        .active = parts_.server.listeners()[listener]->gate.connections().used(),
        .limit = settings.max_connections,
        .queue = {queue.length, queue.limit},
        .draining = draining_listeners_.contains(settings.name),
        .tls = settings.tls.has_value(),
        .figures = proxy::listener_figures(*parts_.server.listeners()[listener]->account),
        .rates = {pace.accepted.per_second(), pace.bytes_to_backend.per_second(),
                  pace.bytes_to_client.per_second()}};
    for (const auto& address : parts_.server.sockets().bound(settings.name))
        view.bind.push_back(address.to_string());
    const auto changed = splits_.find(settings.name);
    for (std::size_t i = 0; i < settings.split.size(); ++i)
        view.split.emplace_back(settings.split[i].upstream, changed == splits_.end()
                                                                ? settings.split[i].weight
                                                                : changed->second.weights[i]);
    if (changed != splits_.end()) view.split_by_whom = changed->second.by;
    return view;
}

UpstreamView Service::upstream_view(std::size_t upstream, TimePoint now) const {
    const auto& settings = config().upstreams[upstream];
    const auto& monitor = parts_.monitors.of(upstream);
    auto& shared = *parts_.server.upstreams()[upstream];
    UpstreamView view{.name = settings.name,
                      .balance = std::string(config::name_of(settings.balance)),
                      .panic = monitor.health().in_panic(Role::none) ||
                               monitor.health().in_panic(Role::primary) ||
                               monitor.health().in_panic(Role::replica),
                      .role_conflict = monitor.health().role_conflict(),
                      .connections = shared.connections.used(),
                      .connections_limit = shared.connections.limit(),
                      .queue_limit = settings.queue.max_length,
                      .held = shared.held.used(),
                      .hash_checksum = monitor.hash_checksum(),
                      .totals = proxy::upstream_totals(shared),
                      .source_addresses = views_of(shared.sources)};
    for (const auto& line : shared.lines) view.queued += line.waiting();
    if (const auto pause = pauses_.find(settings.name); pause != pauses_.end()) {
        view.paused = true;
        view.pause_s_left = until(pause->second->ends, now);
    }
    for (const auto& source : monitor.discovery().sources()) {
        admin::SourceView shown{.what = source.what,
                                .is_dns = source.is_dns,
                                .answers = source.answers,
                                .failures = source.failures,
                                .last_error = source.last_error,
                                .ignored = source.ignored,
                                .backends = source.backends};
        if (source.last_success != WallTime{}) shown.last_success = source.last_success;
        view.sources.push_back(std::move(shown));
    }
    for (const auto& status : monitor.backends()) {
        view.backends.push_back(backend_view(upstream, status, now));
        if (view.backends.back().available) ++view.available;
        if (view.backends.back().eligible) ++view.eligible;
    }
    explain_disputes(view);
    view.departed = departed_backends(settings.name);
    return view;
}

std::vector<BackendView> Service::departed_backends(const std::string& upstream) const {
    std::vector<BackendView> all;
    for (auto& name : backends_.departed(upstream)) {
        BackendView gone{.name = std::move(name)};
        gone.active = backends_.left_sessions(upstream, gone.name);
        add_totals(gone, upstream);
        all.push_back(std::move(gone));
    }
    return all;
}

BackendView Service::backend_view(std::size_t upstream,
                                  const health::UpstreamMonitor::BackendStatus& status,
                                  TimePoint now) const {
    const auto& settings = config().upstreams[upstream];
    const auto& backend = *status.backend;
    const auto& verdict = status.health;
    const auto slow = slow_start_of(backend, status.as.weight, settings.slow_start, now);
    const std::uint64_t held = backend.slots().used();
    BackendView view{.name = backend.name(),
                     .address = backend.address_text(),
                     .tier = status.as.tier,
                     .state = verdict.state,
                     .available = verdict.available,
                     .eligible = verdict.available && !backend.full(),
                     .check = {.enabled = settings.health_check.type != config::CheckType::none,
                               .settled = verdict.settled,
                               .up = verdict.up,
                               // As the selection sees it: a disputed claim is none.
                               .role = verdict.role_disputed ? Role::none : verdict.role,
                               .dispute = verdict.role_disputed ? "says that it is primary" : ""},
                     .circuit = {.state = verdict.circuit,
                                 .cause = verdict.circuit_cause,
                                 .retry_in_s = verdict.circuit == balancer::CircuitState::open
                                                   ? until(verdict.circuit_until, now)
                                                   : std::nullopt},
                     .weight = status.as.weight,
                     .effective_weight = slow.weight,
                     .slow_start_s_left = slow.s_left,
                     .active = backend.active(),
                     .limit = backend.slots().limit(),
                     .connecting = backend.connecting().used(),
                     .warm = held > backend.active() ? held - backend.active() : 0};
    if (verdict.since != TimePoint{}) view.check.since = wall_of(verdict.since, now);
    if (status.last_check)
        view.check.last = {status.last_check->ok, ms(status.last_check->took),
                           status.last_check->error, status.last_check->at};
    const auto& overrides = parts_.monitors.of(upstream).overrides();
    if (const auto changed = overrides.find(view.name); changed != overrides.end())
        view.override = {changed->second.state, changed->second.weight, changed->second.by,
                         changed->second.since};
    explain_exclusion(view, wall_now());
    add_totals(view, settings.name);
    return view;
}

void Service::add_totals(BackendView& view, const std::string& upstream) const {
    view.totals = backends_.totals(upstream, view.name);
    const BackendPace* pace = backends_.pace(upstream, view.name);
    if (pace == nullptr) return;
    view.rates = {pace->established.per_second(), pace->failed.per_second(),
                  pace->bytes_to_backend.per_second(), pace->bytes_to_client.per_second()};
    view.connect = pace->connect.quantiles();
    view.first_byte = pace->first_byte.quantiles();
}

admin::Outcome<admin::Explanation> Service::explain(const admin::ExplainQuery& query) {
    const Explainer explainer(
        parts_.server, parts_.monitors,
        {.split = [this](std::size_t listener) { return listener_view(listener).split; },
         .upstream = [this](std::size_t upstream,
                            TimePoint now) { return upstream_view(upstream, now); }});
    return explainer.explain(query);
}

}  // namespace penstock::app
