// The upstreams' health follows a change of the configuration.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "app/find_named.hpp"
#include "app/monitor_options.hpp"
#include "app/monitors.hpp"

namespace penstock::app {

namespace asio = boost::asio;

namespace {

constexpr Duration kept_after_leaving = std::chrono::seconds(10);

// What an override stands for comes from elsewhere now, or is gone: the file has the last word.
void forget_overrides(health::UpstreamMonitor& monitor, const config::Upstream& before,
                      const config::Upstream& after) {
    const auto overrides = monitor.overrides();
    for (const auto& [name, kept] : overrides) {
        const auto* was = find_listed(before, name);
        const auto* is = find_listed(after, name);
        if (was == nullptr) continue;  // a source's
        monitor.forget_override(name, {.state = is == nullptr || is->state != was->state,
                                       .weight = is == nullptr || is->weight != was->weight});
    }
}

}  // namespace

Monitors::Fresh Monitors::make_fresh(const config::Config& before, const config::Config& config,
                                     const Inputs& inputs) const {
    Fresh fresh;
    for (const auto& upstream : config.upstreams)
        if (find_named(before.upstreams, upstream.name) == nullptr)
            fresh.push_back(make(config, upstream, inputs));
    return fresh;
}

void Monitors::begin_change(Fresh fresh, const config::Config& before, const config::Config& config,
                            const Inputs& inputs, Change& change) {
    change.fresh = std::move(fresh);
    change.inputs = inputs_;
    // Untouched upstreams go on with what they have.
    const auto take_over = [&](const std::string& upstream) {
        inputs_.erase(upstream);
        if (const auto found = inputs.find(upstream); found != inputs.end()) inputs_.insert(*found);
    };
    for (const auto& upstream : config.upstreams) {
        const auto* old = find_named(before.upstreams, upstream.name);
        if (old == nullptr) continue;
        auto options = monitor_options(config, upstream, workers_);
        const auto earlier = monitor_options(before, *old, workers_);
        const bool same = *old == upstream && options.hash_seed == earlier.hash_seed &&
                          options.roles == earlier.roles &&
                          options.discovery.own_addresses == earlier.discovery.own_addresses;
        if (same) continue;
        auto& monitor = *find(upstream.name)->monitor;
        change.overrides.push_back(monitor.overrides());
        change.changed.push_back(&monitor);
        forget_overrides(monitor, *old, upstream);
        take_over(upstream.name);
        monitor.begin_change(std::make_shared<const config::Upstream>(upstream), options,
                             probe_of(upstream, inputs));
    }
    for (auto& monitor : change.fresh) {
        take_over(monitor->name());
        monitor->begin();
    }
}

asio::awaitable<void> Monitors::first_verdicts(const Change& change) {
    for (const auto& monitor : change.fresh) {
        auto waiting = monitor->first_verdicts();
        co_await std::move(waiting);
    }
    for (auto* monitor : change.changed) {
        auto waiting = monitor->first_verdicts();
        co_await std::move(waiting);
    }
}

void Monitors::plan(Change& change) {
    for (auto* monitor : change.changed) change.plans.push_back(monitor->plan_change());
}

Monitors::Sets Monitors::build(const Plans& plans) {
    Sets sets;
    for (const auto& plan : plans) sets.push_back(plan.build());
    return sets;
}

std::map<std::string, proxy::SnapshotPtr> Monitors::finish_change(Change& change,
                                                                  const config::Config& config) {
    std::map<std::string, proxy::SnapshotPtr> snapshots;
    for (std::size_t i = 0; i < change.changed.size(); ++i)
        snapshots.emplace(change.changed[i]->name(),
                          change.changed[i]->finish_change(change.sets[i]));
    std::vector<Upstream> next;
    for (const auto& settings : config.upstreams) {
        if (Upstream* known = find(settings.name)) {
            if (known->plane) known->plane->set_drain(settings.drain);
            next.push_back(std::move(*known));
            known->name.clear();
            continue;
        }
        const auto fresh = std::ranges::find(change.fresh, settings.name, [](const auto& monitor) {
            return monitor ? monitor->name() : std::string();
        });
        snapshots.emplace(settings.name, (*fresh)->first());
        next.push_back({settings.name, std::move(*fresh)});
    }
    const TimePoint now = SteadyClock().now();
    for (auto& upstream : upstreams_)
        if (!upstream.name.empty()) {
            inputs_.erase(upstream.name);
            left_.push_back({std::move(upstream), now});
        }
    upstreams_ = std::move(next);
    return snapshots;
}

// Their coroutines run, as those of upstreams that have left do.
void Monitors::abandon_change(Change change, const config::Config& before) {
    for (std::size_t i = 0; i < change.changed.size(); ++i) {
        auto& monitor = *change.changed[i];
        const auto* settings = find_named(before.upstreams, monitor.name());
        monitor.abandon_change(monitor_options(before, *settings, workers_), change.overrides[i]);
    }
    // A password may have been read anew meanwhile, for what was about to come.
    if (!change.changed.empty() || !change.fresh.empty()) inputs_ = std::move(change.inputs);
    for (auto& monitor : change.fresh) {
        monitor->stop();
        const std::string name = monitor->name();
        left_.push_back({{name, std::move(monitor)}, SteadyClock().now()});
    }
    watch_passwords(before);
}

void Monitors::follow_change(Change change, const config::Config& config) {
    for (std::size_t i = 0; i < upstreams_.size(); ++i)
        if (!upstreams_[i].plane) start(upstreams_[i], config.upstreams[i]);
    for (auto* monitor : change.changed) monitor->follow_change();
    for (auto& left : left_) left.upstream.monitor->leave();
    watch_passwords(config);
}

// What they have posted, and checks that ran, need them for a while.
void Monitors::forget_left(TimePoint now) {
    shared_.departed->forget_ended();
    std::erase_if(left_, [now](const Left& left) {
        return now - left.since >= kept_after_leaving && left.upstream.monitor->idle();
    });
}

}  // namespace penstock::app
