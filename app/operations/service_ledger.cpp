// What this process has counted and has, for the one that takes over, and what those before it
// have.
#include <algorithm>
#include <utility>

#include "app/find_named.hpp"
#include "app/operations/service.hpp"
#include "app/operations/usage.hpp"
#include "app/upgrade/old_processes.hpp"
#include "config/value.hpp"
#include "proxy/figures.hpp"

namespace penstock::app {

namespace {

constexpr Duration forget_interval = std::chrono::minutes(1);

void add_listener(Ledger& ledger, Gauges& gauges, const proxy::ListenerAccount& account) {
    auto figures = proxy::listener_figures(account);
    auto& entry = ledger.listeners[account.name];
    entry.totals = std::move(figures.totals);
    for (auto& route : figures.routes) entry.routes[route.upstream] = std::move(route.totals);
    gauges.listeners[account.name] = account.connections.used();
}

void add_upstream(Ledger& ledger, Gauges& gauges, proxy::UpstreamShared& upstream) {
    ledger.upstreams[upstream.name] = proxy::upstream_totals(upstream);
    auto& entry = gauges.upstreams[upstream.name];
    entry.connections = upstream.connections.used();
    entry.held = upstream.held.used();
    for (const auto& line : upstream.lines) entry.queued += line.waiting();
    for (const auto& [address, connections] : upstream.sources.in_use())
        gauges.sources[{upstream.name, config::format_local_address(address)}] = connections;
}

}  // namespace

upgrade::Figures Service::figures() const {
    upgrade::Figures all;
    Ledger& ledger = all.ledger;
    Gauges& gauges = all.gauges;
    auto& server = parts_.server;
    for (const auto& listener : server.listeners())
        add_listener(ledger, gauges, *listener->account);
    for (const auto& account : server.departed_listeners()) add_listener(ledger, gauges, *account);
    for (const auto& upstream : server.upstreams()) add_upstream(ledger, gauges, *upstream);
    for (const auto& upstream : server.departed_upstreams())
        add_upstream(ledger, gauges, *upstream);
    backends_.for_each([&](const std::string& upstream, const std::string& name,
                           const metrics::BackendTotals& totals, const BackendBook::Now& now) {
        ledger.backends[{upstream, name}] = totals;
        gauges.backends[{upstream, name}] = {now.active, now.connecting, now.warm};
    });
    for (std::size_t i = 0; i < config().upstreams.size(); ++i)
        for (const auto& source : parts_.monitors.of(i).discovery().sources())
            if (source.is_dns)
                ledger.lookups[config().upstreams[i].name] +=
                    LookupTotals{source.answers, source.failures};
    const auto view = process_view(SteadyClock().now());
    for (const auto& worker : view.workers) {
        ledger.workers[worker.id] = worker.totals;
        gauges.workers[worker.id] = worker.connections;
    }
    ledger.process = {view.access_log_lines, view.access_log_dropped, view.access_log_suppressed,
                      view.log_dropped,      view.reloads_succeeded,  view.reloads_failed};
    gauges.connections = view.connections;
    all.memory = resident_memory();
    return all;
}

void Service::fill_manifest(upgrade::Manifest& manifest) const {
    manifest.started = started_wall_;
    for (std::size_t i = 0; i < config().upstreams.size(); ++i)
        for (const auto& [name, kept] : parts_.monitors.of(i).overrides()) {
            const auto& upstream = config().upstreams[i];
            auto& entry = manifest.overrides.emplace_back(upgrade::BackendOverride{
                {upstream.name, name}, kept.state, kept.weight, kept.by, kept.since});
            if (const auto* listed = find_listed(upstream, name)) {
                entry.state_in_file = listed->state;
                entry.weight_in_file = listed->weight;
            }
        }
    for (const auto& [listener, split] : splits_) {
        upgrade::SplitOverride entry{.listener = listener, .by = split.by};
        const auto& parts = config().listeners[*find_listener(listener)].split;
        for (std::size_t i = 0; i < parts.size(); ++i) {
            entry.weights[parts[i].upstream] = split.weights[i];
            entry.weights_in_file[parts[i].upstream] = parts[i].weight;
        }
        manifest.splits.push_back(std::move(entry));
    }
    const TimePoint now = SteadyClock().now();
    for (const auto& [upstream, pause] : pauses_)
        manifest.pauses.push_back({upstream, pause->ends - now, pause->by});
    manifest.draining = draining_;
    manifest.draining_listeners = draining_listeners_;
}

// Names that the configuration has no longer are passed over: they are another one's.
void Service::take_over(const upgrade::Manifest& manifest) {
    took_over_from_ = manifest.pid;
    for (const auto& split : manifest.splits) {
        const auto index = find_listener(split.listener);
        if (!index) continue;
        const auto& parts = config().listeners[*index].split;
        std::vector<std::uint32_t> weights;
        std::map<std::string, std::uint32_t> in_file;
        for (const auto& part : parts) {
            const auto given = split.weights.find(part.upstream);
            if (given != split.weights.end()) weights.push_back(given->second);
            in_file[part.upstream] = part.weight;
        }
        const bool same_names =
            weights.size() == parts.size() && weights.size() == split.weights.size();
        if (!same_names || (!split.weights_in_file.empty() && split.weights_in_file != in_file)) {
            parts_.log.info("listener {}: the weights that {} has set end: the file has changed",
                            split.listener, split.by);
            continue;
        }
        parts_.server.set_split(*index, weights);
        splits_[split.listener] = {std::move(weights), split.by};
    }
    for (const auto& pause : manifest.pauses)
        if (const auto index = find_upstream(pause.upstream); index && pause.left)
            begin_pause(*index, *pause.left, pause.by);
    draining_ = manifest.draining;
    for (const auto& listener : manifest.draining_listeners)
        if (find_listener(listener)) draining_listeners_.insert(listener);
}

namespace {

template <typename Map, typename Key>
const auto* find(const Map& map, const Key& key) {
    const auto found = map.find(key);
    return found == map.end() ? nullptr : &found->second;
}

void add(admin::ProcessView& view, const Ledger& ledger, const Gauges& gauges) {
    view.access_log_lines += ledger.process.access_log_lines;
    view.access_log_dropped += ledger.process.access_log_dropped;
    view.access_log_suppressed += ledger.process.access_log_suppressed;
    view.log_dropped += ledger.process.log_dropped;
    view.reloads_succeeded += ledger.process.reloads_succeeded;
    view.reloads_failed += ledger.process.reloads_failed;
    view.connections += gauges.connections;
    for (auto& worker : view.workers) {
        if (const auto* totals = find(ledger.workers, worker.id)) worker.totals += *totals;
        if (const auto* now = find(gauges.workers, worker.id))
            worker.connections += static_cast<std::uint32_t>(*now);
    }
}

void add(proxy::ListenerFigures& figures, const Ledger::Listener& more) {
    figures.totals += more.totals;
    for (const auto& [upstream, totals] : more.routes) {
        const auto known =
            std::ranges::find(figures.routes, upstream, &proxy::ListenerFigures::Route::upstream);
        if (known != figures.routes.end())
            known->totals += totals;
        else
            figures.routes.push_back({upstream, totals});
    }
}

void add(admin::BackendView& view, const std::string& upstream, const Ledger& ledger,
         const Gauges& gauges) {
    const BackendName name{upstream, view.name};
    if (const auto* totals = find(ledger.backends, name)) view.totals += *totals;
    if (const auto* now = find(gauges.backends, name)) {
        view.active += now->active;
        view.connecting += now->connecting;
        view.warm += now->warm;
    }
}

void add(admin::UpstreamView& view, const Ledger& ledger, const Gauges& gauges) {
    if (const auto* more = find(ledger.upstreams, view.name)) view.totals += *more;
    if (const auto* now = find(gauges.upstreams, view.name)) {
        view.connections += now->connections;
        view.queued += now->queued;
        view.held += now->held;
    }
    if (const auto* lookups = find(ledger.lookups, view.name)) {
        const auto source = std::ranges::find(view.sources, true, &admin::SourceView::is_dns);
        if (source != view.sources.end()) {
            source->answers += lookups->succeeded;
            source->failures += lookups->failed;
        }
    }
    for (const auto& [name, connections] : gauges.sources) {
        if (name.upstream != view.name) continue;
        const auto known = std::ranges::find(view.source_addresses, name.address,
                                             &admin::SourceAddressView::address);
        if (known != view.source_addresses.end())
            known->connections += connections;
        else
            view.source_addresses.push_back({name.address, connections});
    }
    for (const auto& [name, totals] : ledger.backends) {
        if (name.upstream != view.name) continue;
        const auto is_it = [&](const admin::BackendView& backend) {
            return backend.name == name.backend;
        };
        if (std::ranges::none_of(view.backends, is_it) &&
            std::ranges::none_of(view.departed, is_it))
            view.departed.push_back({.name = name.backend});
    }
    for (auto& backend : view.backends) add(backend, view.name, ledger, gauges);
    for (auto& backend : view.departed) add(backend, view.name, ledger, gauges);
}

void add(admin::ListenerView& view, const Ledger& ledger, const Gauges& gauges) {
    if (const auto* more = find(ledger.listeners, view.name)) add(view.figures, *more);
    if (const auto* now = find(gauges.listeners, view.name)) view.active += *now;
}

// What only old processes know has left for this one.
template <typename View, typename Counted>
void add_names(const std::vector<View>& present, std::vector<View>& departed,
               const std::map<std::string, Counted>& counted) {
    for (const auto& [name, totals] : counted)
        if (std::ranges::find(present, name, &View::name) == present.end() &&
            std::ranges::find(departed, name, &View::name) == departed.end())
            departed.push_back({.name = name});
}

}  // namespace

void Service::forget_gone(TimePoint now) {
    if (peers_.old == nullptr || !peers_.old->has_gone() ||
        now - last_forgetting_ < forget_interval)
        return;
    last_forgetting_ = now;
    peers_.old->forget_gone(figures().ledger, now);
}

void Service::add_old_processes(admin::Overview& overview) const {
    if (peers_.old == nullptr) return;
    const Ledger ledger = peers_.old->ledger();
    const Gauges gauges = peers_.old->gauges();
    overview.process.old_processes = peers_.old->views();
    add(overview.process, ledger, gauges);
    add_names(overview.listeners, overview.departed_listeners, ledger.listeners);
    add_names(overview.upstreams, overview.departed_upstreams, ledger.upstreams);
    for (auto* list : {&overview.listeners, &overview.departed_listeners})
        for (auto& listener : *list) add(listener, ledger, gauges);
    for (auto* list : {&overview.upstreams, &overview.departed_upstreams})
        for (auto& upstream : *list) add(upstream, ledger, gauges);
}

}  // namespace penstock::app
