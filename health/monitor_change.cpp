// An upstream's settings change while it serves.
#include <algorithm>
#include <utility>

#include "health/upstream_monitor.hpp"

namespace penstock::health {

void UpstreamMonitor::begin_change(Settings settings, const Options& options,
                                   std::unique_ptr<Probe> probe) {
    changing_ = true;
    awaited_since_ = now();
    former_settings_ = std::exchange(settings_, std::move(settings));
    former_probe_ = std::exchange(probe_, std::move(probe));
    follow_settings(options);
    static_cast<void>(plan_change());  // who is new is checked from now on
    act();
}

void UpstreamMonitor::follow_settings(const Options& options) {
    hash_seed_ = options.hash_seed;
    health_.configure(*settings_, options.roles, now());
    discovery_.configure(*settings_, options.discovery.own_addresses);
    const auto& breaker = settings_->circuit_breaker;
    for (const auto& watched : watched_) {
        watched->placed.backend->outcomes().set_alarm(breaker.enabled ? breaker.consecutive_failures
                                                                      : 0);
        watch(watched);
        watched->timer.cancel();  // its schedule may be another one
    }
    watch_outcomes();
}

void UpstreamMonitor::abandon_change(const Options& options,
                                     const std::map<std::string, Override>& overrides) {
    if (stopped_) return;
    changing_ = false;
    next_.clear();
    if (former_settings_) {
        settings_ = std::exchange(former_settings_, nullptr);
        probe_ = std::exchange(former_probe_, nullptr);
    }
    for (const auto& [name, before] : overrides) {
        Override& kept = overrides_.try_emplace(name, before).first->second;
        if (!kept.state) kept.state = before.state;
        if (!kept.weight) kept.weight = before.weight;
    }
    for (const auto& watched : watched_)
        if (watched->joining) retire(watched, now());
    std::erase_if(watched_, [](const WatchedPtr& watched) { return watched->gone; });
    follow_settings(options);
    rebuild_ = false;
    on_found(discovery_.list());
}

UpstreamMonitor::SetPlan UpstreamMonitor::plan_change() {
    planned_ = discovery_.list();
    loaded_ = discovery_.settled();
    next_.clear();
    SetPlan plan{settings_, {}, hash_seed_};
    for (const auto& found : planned_) {
        auto watched = find_same(watched_, found);
        if (!watched) {
            watched = admit(found, Arrival::joining);
            watched->joining = true;
            report({.kind = EventKind::backend_added,
                    .backend = found.name,
                    .text = "was added: " + found.address.to_string(),
                    .origin = found.origin});
        }
        next_.push_back(watched);
        plan.backends.push_back({watched->placed.backend, as_overridden(found)});
    }
    return plan;
}

std::shared_ptr<const balancer::Snapshot> UpstreamMonitor::finish_change(
    std::shared_ptr<const balancer::BackendSet> set) {
    changing_ = false;
    former_settings_.reset();
    former_probe_.reset();
    ++set_version_;
    for (const auto& watched : next_) watched->joining = false;
    follow(std::exchange(next_, {}), planned_, now());
    use(std::move(set));
    // What an operator, or a source, has said meanwhile.
    if (std::exchange(rebuild_, false)) rebuild_set();
    if (discovery_.list() != planned_) on_found(discovery_.list());
    return snapshot();
}

void UpstreamMonitor::leave() {
    if (stopped_) return;
    follow({}, {}, now());
    act();
    stop();
}

void UpstreamMonitor::forget_override(const std::string& name, Values which) {
    const auto change = overrides_.find(name);
    if (change == overrides_.end()) return;
    if (which.state) change->second.state.reset();
    if (which.weight) change->second.weight.reset();
    if (!change->second.state && !change->second.weight) overrides_.erase(change);
}

void UpstreamMonitor::restore_overrides(std::map<std::string, Override> overrides) {
    overrides_ = std::move(overrides);
    bool any = false;
    for (const auto& watched : watched_) {
        if (!overrides_.contains(watched->found.name)) continue;
        put(*watched, watched->found, now());
        any = true;
    }
    if (any) set_ = make_backend_set(*settings_, placed(), hash_seed_);
}

}  // namespace penstock::health
