#include "health/upstream_monitor.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "config/to_backends.hpp"
#include "net/asio_words.hpp"

namespace penstock::health {

namespace asio = boost::asio;

UpstreamMonitor::UpstreamMonitor(const MonitorShared& shared, Settings settings, Options options,
                                 std::unique_ptr<Probe> probe)
    : shared_(shared),
      settings_(std::move(settings)),
      workers_(options.workers),
      hash_seed_(options.hash_seed),
      probe_(std::move(probe)),
      health_(*settings_, options.roles, options.seed),
      discovery_(shared.context, shared.builder, *settings_, std::move(options.discovery),
                 shared.log),
      events_(settings_->name, shared.log),
      timer_(shared.context),
      outcomes_(shared.context),
      verdicts_(shared.context) {
    for (const auto& found : discovery_.list()) admit(found, Arrival::first);
    set_ = make_backend_set(*settings_, placed(), hash_seed_);
}

UpstreamMonitor::~UpstreamMonitor() = default;

UpstreamMonitor::WatchedPtr UpstreamMonitor::admit(const Discovered& found, Arrival arrival) {
    auto watched = std::make_shared<Watched>(shared_.context);
    watched->found = found;
    const Discovered as = as_overridden(found);
    auto backend = find_departed(found);
    watched->returned = backend != nullptr;
    if (watched->returned) {
        backend->slots().set_limit(found.max_connections);
        backend->connecting().set_limit(settings_->max_connecting_per_backend);
    } else {
        backend = make_backend(*settings_, found, workers_);
    }
    watched->placed = {std::move(backend), as};
    const auto& breaker = settings_->circuit_breaker;
    if (breaker.enabled)
        watched->placed.backend->outcomes().set_alarm(breaker.consecutive_failures);
    watched->id = health_.add({.backend = watched->placed.backend,
                               .weight = arrival == Arrival::joining ? 0 : as.weight,
                               .tier = as.tier,
                               .state = as.state,
                               .fresh = arrival != Arrival::first},
                              now());
    watched_.push_back(watched);
    if (begun_) watch(watched);
    return watched;
}

std::shared_ptr<balancer::Backend> UpstreamMonitor::find_departed(const Discovered& found) const {
    auto backend = shared_.departed->find(settings_->name, found);
    if (!backend || (settings_->tls && backend->host() != found.host)) return nullptr;
    const bool is_here = std::ranges::any_of(
        watched_, [&](const WatchedPtr& watched) { return watched->placed.backend == backend; });
    return is_here ? nullptr : backend;
}

void UpstreamMonitor::start(DataPlane& plane) {
    plane_ = &plane;
    begin();
    act();
    // Of an upstream that has come back.
    for (const auto& watched : watched_)
        if (watched->returned && watched->placed.as.state == config::BackendState::ready)
            plane.keep_sessions(watched->placed.backend, EndCause::removed);
    publish_soon();  // whatever has happened since first()
}

void UpstreamMonitor::begin() {
    if (std::exchange(begun_, true)) return;
    awaited_since_ = now();
    for (const auto& watched : watched_) watch(watched);
    watch_outcomes();
    discovery_.start([this](const std::vector<Discovered>& found) { on_found(found); },
                     [this](const SourceStatus& source) { on_source(source); });
    act();
}

void UpstreamMonitor::stop() {
    stopped_ = true;
    discovery_.stop();
    timer_.cancel();
    outcomes_.cancel();
    verdicts_.cancel();
    for (const auto& watched : watched_) {
        watched->gone = true;
        watched->timer.cancel();
    }
}

void UpstreamMonitor::watch(const WatchedPtr& watched) {
    if (!probe_ || std::exchange(watched->checking, true)) return;
    ++running_;
    asio::co_spawn(shared_.context, check_again_and_again(watched),
                   [this](std::exception_ptr error) {
                       --running_;
                       net::rethrow_failure(std::move(error));
                   });
}

void UpstreamMonitor::watch_outcomes() {
    if (health_.outcome_interval() == never || std::exchange(reading_outcomes_, true)) return;
    ++running_;
    asio::co_spawn(shared_.context, read_outcomes(), [this](std::exception_ptr error) {
        --running_;
        net::rethrow_failure(std::move(error));
    });
}

asio::awaitable<void> UpstreamMonitor::check_again_and_again(WatchedPtr watched) {
    while (!watched->gone && probe_) {
        const TimePoint next = health_.next_probe(watched->id);
        if (next > now()) {
            watched->timer.expires_at(net::to_asio(next));
            co_await watched->timer.async_wait(net::as_result);
            continue;
        }
        auto entering = shared_.gate.enter();
        if (!co_await std::move(entering)) co_return;
        if (!watched->gone && probe_) {
            auto checking = check_once(watched);
            co_await std::move(checking);
        }
        shared_.gate.leave();
    }
    watched->checking = false;
}

asio::awaitable<void> UpstreamMonitor::check_once(WatchedPtr watched) {
    const TimePoint started = now();
    health_.on_probe_started(watched->id, started);
    const std::shared_ptr<Probe> probe = probe_;
    const TimePoint deadline = deadline_after(started, settings_->health_check.timeout);
    auto checking = probe->check(target_of(watched->placed), deadline);
    const ProbeResult result = co_await std::move(checking);
    if (watched->gone) co_return;
    note_result(*watched, result, now() - started);
    health_.on_probe(watched->id, result, now());
    const bool is_up = health_.status(watched->id).up;
    if (watched->told_up != is_up) {
        auto& cells = watched->placed.backend->verdict_cells();
        if (!is_up)
            cells.went_down.add();
        else if (watched->told_up.has_value())
            cells.went_up.add();
        watched->told_up = is_up;
        discovery_.on_check(watched->placed.as.name, is_up);
    }
    act();
}

void UpstreamMonitor::note_result(Watched& watched, const ProbeResult& result, Duration took) {
    ++checks_.done;
    if (!result.ok) ++checks_.failed;
    auto& cells = watched.placed.backend->verdict_cells();
    (result.ok ? cells.checks_ok : cells.checks_failed).add();
    cells.check.record(whole_us(took));
    watched.last =
        CheckResult{result.ok, took, result.ok ? std::string() : result.detail, wall_now()};
}

ProbeTarget UpstreamMonitor::target_of(const Placed& placed) const {
    const auto& backend = *placed.backend;
    ProbeTarget target{placed.as.address, placed.as.host,
                       config::verify_name(*settings_, backend.host(), backend.address())};
    const auto port = static_cast<std::uint16_t>(settings_->health_check.port);
    if (port == 0 || target.address.is_unix()) return target;
    sockaddr_storage raw;
    const auto length = target.address.to_sockaddr(raw);
    if (raw.ss_family == AF_INET)
        reinterpret_cast<sockaddr_in*>(&raw)->sin_port = htons(port);
    else
        reinterpret_cast<sockaddr_in6*>(&raw)->sin6_port = htons(port);
    target.address = Endpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&raw), length);
    return target;
}

asio::awaitable<void> UpstreamMonitor::read_outcomes() {
    while (!stopped_ && health_.outcome_interval() != never) {
        outcomes_.expires_at(net::to_asio(deadline_after(now(), health_.outcome_interval())));
        co_await outcomes_.async_wait(net::as_result);
        if (stopped_) co_return;
        const TimePoint at = now();
        for (const auto& watched : watched_) hear(*watched, at);
        act();
    }
    reading_outcomes_ = false;
}

void UpstreamMonitor::hear(Watched& watched, TimePoint at) {
    health_.on_outcomes(watched.id, watched.placed.backend->outcomes().totals(), at);
}

void UpstreamMonitor::on_alarm(const balancer::Backend* backend) {
    const auto found = std::ranges::find_if(watched_, [backend](const WatchedPtr& watched) {
        return watched->placed.backend.get() == backend;
    });
    if (found == watched_.end() || stopped_) return;
    hear(**found, now());
    act();
}

void UpstreamMonitor::on_stall(Duration late, TimePoint at) {
    health_.on_stall(late, at);
    for (const auto& watched : watched_) watched->timer.cancel();  // look at the schedule again
    act();
}

void UpstreamMonitor::set_probe(std::unique_ptr<Probe> probe) { probe_ = std::move(probe); }

// A backend is the same as before if its name and address are, and whom its certificate has to
// name: sessions and checks go by the host of its object, which stays what it was made with.
UpstreamMonitor::WatchedPtr UpstreamMonitor::find_same(const std::vector<WatchedPtr>& among,
                                                       const Discovered& found) const {
    const auto same = std::ranges::find_if(among, [&](const WatchedPtr& watched) {
        return watched->found.name == found.name && watched->found.address == found.address &&
               (!settings_->tls || watched->placed.backend->host() == found.host);
    });
    return same == among.end() ? nullptr : *same;
}

void UpstreamMonitor::on_found(const std::vector<Discovered>& found) {
    if (stopped_ || changing_) return;
    const TimePoint at = now();
    const bool fresh = std::exchange(loaded_, discovery_.settled());
    std::vector<WatchedPtr> next;
    for (const auto& backend : found) {
        auto watched = find_same(watched_, backend);
        next.push_back(watched ? watched : admit(backend, fresh ? Arrival::fresh : Arrival::first));
        if (!watched && fresh)
            report({.kind = EventKind::backend_added,
                    .backend = backend.name,
                    .text = "was found at " + backend.address.to_string(),
                    .origin = backend.origin});
    }
    follow(next, found, at);
    rebuild_set();
    act();
}

// The source itself has told the log.
void UpstreamMonitor::on_source(const SourceStatus& source) {
    const Origin origin = source.is_dns ? Origin::name : Origin::file;
    if (source.last_error.empty())
        report({.kind = EventKind::source_works,
                .backend = "",
                .text = source.what,
                .origin = origin});
    else
        report({.kind = EventKind::source_failed,
                .backend = "",
                .text = source.what + ": " + source.last_error,
                .origin = origin});
}

// From now on the backends are these, as `found` has them.
void UpstreamMonitor::follow(const std::vector<WatchedPtr>& next,
                             const std::vector<Discovered>& found, TimePoint at) {
    std::unordered_set<const Watched*> staying;
    for (const auto& watched : next) staying.insert(watched.get());
    for (const auto& watched : watched_) {
        if (staying.contains(watched.get())) continue;
        retire(watched, at);
        report({.kind = EventKind::backend_left,
                .backend = watched->found.name,
                .text = watched->found.origin == Origin::listed
                            ? "is no longer in the configuration"
                            : "is no longer named by its source",
                .origin = watched->found.origin});
    }
    watched_ = next;
    for (std::size_t i = 0; i < next.size(); ++i) put(*next[i], found[i], at);
    if (shared_.on_backends) shared_.on_backends(settings_->name);
}

void UpstreamMonitor::put(Watched& watched, const Discovered& found, TimePoint at) {
    watched.found = found;
    const Discovered as = as_overridden(found);
    watched.placed.as = as;
    health_.set_weight(watched.id, as.weight, at);
    health_.set_tier(watched.id, as.tier, at);
    health_.set_state(watched.id, as.state, at);
    watched.placed.backend->slots().set_limit(as.max_connections);
    watched.placed.backend->connecting().set_limit(settings_->max_connecting_per_backend);
    watched.timer.cancel();  // its schedule may be another one
}

Discovered UpstreamMonitor::as_overridden(Discovered found) const {
    const auto change = overrides_.find(found.name);
    if (change == overrides_.end()) return found;
    found.state = change->second.state.value_or(found.state);
    found.weight = change->second.weight.value_or(found.weight);
    return found;
}

UpstreamMonitor::WatchedPtr UpstreamMonitor::find(const std::string& name) const {
    const auto found = std::ranges::find_if(
        watched_, [&](const WatchedPtr& watched) { return watched->placed.as.name == name; });
    return found == watched_.end() ? nullptr : *found;
}

bool UpstreamMonitor::override_backend(const std::string& name, const Override& change) {
    const WatchedPtr watched = find(name);
    if (!watched || stopped_) return false;
    Override& kept = overrides_[name];
    if (change.state) kept.state = change.state;
    if (change.weight) kept.weight = change.weight;
    kept.by = change.by;
    kept.since = change.since;
    put(*watched, watched->found, now());
    rebuild_set();
    act();
    return true;
}

bool UpstreamMonitor::reset_backend(const std::string& name) {
    const WatchedPtr watched = find(name);
    if (overrides_.erase(name) == 0 || stopped_) return false;
    if (watched) {
        put(*watched, watched->found, now());
        rebuild_set();
        act();
    }
    return true;
}

void UpstreamMonitor::report(const Event& event) const {
    if (shared_.on_event) shared_.on_event(settings_->name, event);
}

void UpstreamMonitor::retire(const WatchedPtr& watched, TimePoint at) {
    watched->gone = true;
    watched->timer.cancel();
    health_.remove(watched->id, at);
    shared_.departed->add(watched->placed.backend);
    events_.forget(watched->placed.as.name);
}

asio::awaitable<void> UpstreamMonitor::first_verdicts() {
    const bool looks_up = discovery_.is_dynamic();
    const Duration longest =
        (looks_up ? longest_look_up : Duration::zero()) +
        (probe_ ? settings_->health_check.fast_interval + settings_->health_check.timeout
                : Duration::zero());
    const TimePoint deadline = deadline_after(awaited_since_, longest);
    // A set that is being built has in it whom the workers do not know yet.
    while (!stopped_ && now() < deadline &&
           !(discovery_.settled() && health_.settled() && !building_)) {
        verdicts_.expires_at(net::to_asio(deadline));
        co_await verdicts_.async_wait(net::as_result);
    }
}

void UpstreamMonitor::act() {
    const Actions actions = health_.take_actions();
    apply(actions, now());
    arm_timer();
    if (health_.settled()) verdicts_.cancel();
}

void UpstreamMonitor::apply(const Actions& actions, TimePoint at) {
    for (const auto& turn : actions.turns) {
        auto& outcomes = turn.backend->outcomes();
        switch (turn.to) {
            case balancer::CircuitState::closed: outcomes.circuit().close(); break;
            case balancer::CircuitState::open: outcomes.circuit().open(); break;
            case balancer::CircuitState::half_open:
                outcomes.circuit().half_open(turn.trials);
                break;
        }
        outcomes.forget_row();
    }
    for (const auto& backend : actions.slow_starts) backend->start_slowly(at);
    if (plane_ != nullptr) {
        // Who waits for a backend hears of a turn like of any other verdict.
        if (actions.publish || !actions.turns.empty()) publish_soon();
        if (!actions.end.empty()) publish();
        for (const auto& [backend, cause] : actions.keep) plane_->keep_sessions(backend, cause);
        for (const auto& end : actions.end) plane_->end_sessions(end);
    }
    for (const auto& event : actions.events) {
        events_.tell(event, at);
        report(event);
    }
}

void UpstreamMonitor::arm_timer() {
    const TimePoint next = health_.next_timer();
    if (stopped_ || next == armed_) return;
    armed_ = next;
    timer_.expires_at(net::to_asio(next));
    if (next == no_deadline) return;
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (error || stopped_) return;
        armed_ = no_deadline;
        health_.on_timer(now());
        act();
    });
}

// Many verdicts at once are one message to the workers.
void UpstreamMonitor::publish_soon() {
    if (building_ || std::exchange(publishing_, true)) return;
    asio::post(shared_.context, [this] {
        if (publishing_ && !stopped_) publish();
    });
}

void UpstreamMonitor::publish() {
    publishing_ = false;
    // Who has left stays until the set without it, with those who come in its place, is there.
    if (building_ || plane_ == nullptr) return;
    plane_->publish(snapshot());
}

std::shared_ptr<const balancer::Snapshot> UpstreamMonitor::snapshot() const {
    auto made = std::make_shared<balancer::Snapshot>(set_);
    std::unordered_map<const balancer::Backend*, MemberId> ids;
    for (const auto& watched : watched_) ids.emplace(watched->placed.backend.get(), watched->id);
    for (const Role role : {Role::none, Role::primary, Role::replica}) {
        auto& view = made->views[std::to_underlying(role)];
        view = {balancer::Bitmap(set_->size()), balancer::Bitmap(set_->size())};
        for (std::uint32_t i = 0; i < set_->size(); ++i) {
            const auto member = ids.find(&set_->backend(i));
            if (member == ids.end()) continue;  // it has left; the set without it is being built
            const auto [available, forced] = health_.availability(member->second, role);
            if (available) view.available.set(i);
            if (forced) view.forced.set(i);
        }
    }
    return made;
}

std::vector<Placed> UpstreamMonitor::placed() const {
    std::vector<Placed> all;
    all.reserve(watched_.size());
    for (const auto& watched : watched_) all.push_back(watched->placed);
    return all;
}

// Off this thread; changes that come meanwhile are for the next one.
void UpstreamMonitor::rebuild_set() {
    // Nor while the settings change: the set would be one of the new ones for workers of the old.
    if (building_ || changing_) {
        rebuild_ = true;
        return;
    }
    building_ = true;
    net::run_and_post(
        shared_.builder, shared_.context,
        [plan = SetPlan{settings_, placed(), hash_seed_}] { return plan.build(); },
        [this, version = set_version_](net::Made<SetPtr> made) {
            on_set_built(version, std::move(made));
        });
}

void UpstreamMonitor::on_set_built(std::uint32_t version, net::Made<SetPtr> set) {
    building_ = false;
    if (version != set_version_)
        rebuild_ = true;
    else if (set)
        use(*std::move(set));
    else
        shared_.log.error(
            "upstream {}: the changed set of backends cannot be built: {}; the one of before stays "
            "in force until they change once more",
            settings_->name, net::words_of(set.error()));
    if (stopped_) return;
    publish();
    if (!changing_ && std::exchange(rebuild_, false)) rebuild_set();
    verdicts_.cancel();
}

void UpstreamMonitor::use(std::shared_ptr<const balancer::BackendSet> set) {
    const auto before = std::exchange(set_, std::move(set));
    if (set_->hash_checksum() != 0 && set_->hash_checksum() != before->hash_checksum())
        shared_.log.info("upstream {}: hash table of {} backends, checksum {:016x}",
                         settings_->name, set_->size(), set_->hash_checksum());
}

std::vector<UpstreamMonitor::BackendStatus> UpstreamMonitor::backends() const {
    std::vector<BackendStatus> all;
    for (const auto& watched : watched_)
        if (!watched->joining)
            all.push_back({watched->placed.backend, watched->placed.as, health_.status(watched->id),
                           watched->last});
    return all;
}

}  // namespace penstock::health
