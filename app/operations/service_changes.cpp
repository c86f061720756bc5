// What an operator does to the running proxy. Each change leaves an event with who did it.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/control.hpp"
#include "app/operations/apportion.hpp"
#include "app/operations/ask_workers.hpp"
#include "app/operations/service.hpp"
#include "config/leads_to.hpp"
#include "config/names.hpp"
#include "config/value.hpp"

namespace penstock::app {

namespace asio = boost::asio;

using admin::Ending;
using admin::Outcome;
using admin::Refusal;
using asio::awaitable;

namespace {

std::unexpected<Refusal> no_upstream(const std::string& name) {
    return std::unexpected(Refusal{404, fmt::format("there is no upstream '{}'", name)});
}

std::unexpected<Refusal> no_listener(const std::string& name) {
    return std::unexpected(Refusal{404, fmt::format("there is no listener '{}'", name)});
}

std::unexpected<Refusal> no_backend(const std::string& upstream, const std::string& backend) {
    return std::unexpected(
        Refusal{404, fmt::format("upstream {} has no backend '{}'", upstream, backend)});
}

// Of each worker.
std::vector<std::size_t> old_enough(const std::vector<Service::SessionCount>& counts) {
    std::vector<std::size_t> old;
    for (const auto& count : counts) old.push_back(count.old_enough);
    return old;
}

}  // namespace

Outcome<void> Service::change_backend(const std::string& upstream, const std::string& backend,
                                      const admin::BackendChange& change,
                                      const std::string& actor) {
    if (auto refusal = why_no_change()) return std::unexpected(*std::move(refusal));
    const auto index = find_upstream(upstream);
    if (!index) return no_upstream(upstream);
    auto& monitor = parts_.monitors.of(*index);
    const auto before = monitor.backends();
    const auto found = std::ranges::find_if(
        before, [&](const auto& status) { return status.backend->name() == backend; });
    // What was changed of one that is away is remembered, and can be forgotten.
    const bool remembered = change.reset && monitor.overrides().contains(backend);
    if (found == before.end() && !remembered) return no_backend(upstream, backend);
    if (change.reset) {
        if (!monitor.reset_backend(backend))
            return std::unexpected(Refusal{
                409, fmt::format("nothing of {}/{} was changed while running", upstream, backend)});
        record({.kind = "override",
                .upstream = upstream,
                .backend = backend,
                .detail = "goes by the configuration again",
                .actor = actor});
        return {};
    }
    monitor.override_backend(
        backend,
        {.state = change.state, .weight = change.weight, .by = actor, .since = wall_now()});
    if (change.state)
        record({.kind = "override",
                .upstream = upstream,
                .backend = backend,
                .from = std::string(config::name_of(found->as.state)),
                .to = std::string(config::name_of(*change.state)),
                .detail = fmt::format("state set to {}", config::name_of(*change.state)),
                .actor = actor});
    if (change.weight)
        record({.kind = "override",
                .upstream = upstream,
                .backend = backend,
                .from = fmt::to_string(found->as.weight),
                .to = fmt::to_string(*change.weight),
                .detail = fmt::format("weight set to {}", *change.weight),
                .actor = actor});
    return {};
}

awaitable<Outcome<void>> Service::kill_session(proxy::ConnectionId id, std::string actor) {
    const auto& workers = parts_.server.workers();
    const auto missing = [&id] {
        return std::unexpected(Refusal{
            404, fmt::format("there is no session {}; it may have ended", proxy::to_string(id))});
    };
    if (id.process != parts_.server.shared().process_id) co_return missing();
    auto asking = ask_workers<bool>(parts_.context, workers, [id](proxy::Worker& worker) {
        return worker.index() == proxy::worker_of(id) && worker.kill(id.sequence);
    });
    const auto answers = co_await std::move(asking);
    if (std::ranges::find(answers, true) == answers.end()) co_return missing();
    record({.kind = "kill",
            .detail = fmt::format("session {} was ended", proxy::to_string(id)),
            .actor = std::move(actor)});
    co_return Outcome<void>();
}

awaitable<Service::SessionCounts> Service::count_sessions(Backends backends, TimePoint before) {
    using Counts = std::vector<SessionCount>;
    auto asking = ask_workers<Counts>(
        parts_.context, parts_.server.workers(),
        [backends, before, now = SteadyClock().now()](proxy::Worker& worker) {
            Counts counts;
            for (const auto& backend : backends)
                counts.push_back({worker.count_sessions({.backend = backend, .before = now}),
                                  worker.count_sessions({.backend = backend, .before = before})});
            return counts;
        });
    const auto answers = co_await std::move(asking);
    SessionCounts all(backends.size());
    for (std::size_t i = 0; i < backends.size(); ++i)
        for (const Counts& counts : answers)  // a stuck worker has said nothing
            all[i].push_back(i < counts.size() ? counts[i] : SessionCount{});
    co_return all;
}

// The workers do not go in step, lest their clients come back in pairs.
void Service::end_sessions(const std::shared_ptr<const balancer::Backend>& backend,
                           TimePoint before, const std::vector<std::size_t>& quotas, Duration over,
                           CloseReason reason) {
    const auto& workers = parts_.server.workers();
    for (std::size_t i = 0; i < workers.size(); ++i) {
        if (quotas[i] == 0) continue;
        const double step = static_cast<double>(over.count()) / static_cast<double>(quotas[i]);
        const Duration wait(static_cast<Duration::rep>(step * random_.unit()));
        proxy::Worker* const worker = workers[i].get();
        worker->send([worker, backend, before, quota = quotas[i], over, wait, reason] {
            const proxy::DrainPlan plan(worker->loop().now(), wait,
                                        std::max(over - wait, Duration::zero()));
            worker->add_drain(proxy::SessionDrain(
                {.backend = backend, .before = before}, plan, reason,
                {.only_quiet = reason == CloseReason::rebalanced, .quota = quota}));
        });
    }
}

awaitable<Outcome<Ending>> Service::kill_backend(std::string upstream, std::string backend,
                                                 admin::KillOrder order, std::string actor) {
    const auto index = find_upstream(upstream);
    if (!index) co_return no_upstream(upstream);
    const auto target = find_backend(*index, backend);
    if (!target) co_return no_backend(upstream, backend);
    const TimePoint now = SteadyClock().now();
    Backends asked{target};
    auto counting = count_sessions(std::move(asked), now);
    const auto counted = co_await std::move(counting);
    const auto counts = old_enough(counted.front());
    Ending ending;
    for (const std::size_t count : counts) ending.sessions += count;
    ending.closing =
        static_cast<std::uint64_t>(std::ceil(static_cast<double>(ending.sessions) * order.share));
    if (order.dry_run || ending.closing == 0) co_return ending;
    end_sessions(target, now, apportion(counts, ending.closing), order.over, CloseReason::killed);
    record({.kind = "kill",
            .upstream = std::move(upstream),
            .backend = std::move(backend),
            .detail = fmt::format("{} of {} sessions end over {}", ending.closing, ending.sessions,
                                  config::format_duration(order.over)),
            .actor = std::move(actor)});
    co_return ending;
}

std::optional<Refusal> Service::why_not_rebalance(std::size_t upstream) const {
    const auto& settings = config().upstreams[upstream];
    using enum config::Balance;
    if (settings.balance == maglev || settings.balance == ring_hash || settings.balance == first)
        return Refusal{409,
                       fmt::format("upstream {} goes by {}: its clients would come back to the "
                                   "same backend",
                                   settings.name, config::name_of(settings.balance))};
    for (const auto& listener : config().listeners)
        for (const Role role : {Role::primary, Role::replica})
            if (config::leads_to(listener, settings.name, role))
                return Refusal{409, fmt::format("listener {} asks for the {}: its clients would "
                                                "come back to the same backend",
                                                listener.name, penstock::name_of(role))};
    return std::nullopt;
}

// Backends compete within the tiers that serve now: a back-up without sessions is not below its
// share.
std::vector<balancer::RebalanceBackend> Service::competitors(std::size_t upstream,
                                                             const SessionCounts& counts) const {
    const TimePoint now = SteadyClock().now();
    const Prospect prospect = prospect_of(upstream, Role::none, std::nullopt, now);
    const auto view = upstream_view(upstream, now);
    std::set<std::uint32_t> tiers;
    for (const auto& backend : view.backends)
        if (prospect.is_candidate(backend.name)) tiers.insert(backend.tier);
    std::vector<balancer::RebalanceBackend> load;
    for (std::size_t i = 0; i < view.backends.size() && i < counts.size(); ++i) {
        const auto& backend = view.backends[i];
        std::uint32_t sessions = 0;
        for (const SessionCount& count : counts[i])
            sessions += static_cast<std::uint32_t>(count.all);
        // The whole weight, also of one that still starts slowly: that is what it comes to.
        load.push_back({.sessions = sessions,
                        .weight = backend.weight,
                        .available = backend.available && tiers.contains(backend.tier)});
    }
    return load;
}

awaitable<Outcome<Ending>> Service::rebalance(std::string upstream, admin::RebalanceOrder order,
                                              std::string actor) {
    const auto index = find_upstream(upstream);
    if (!index) co_return no_upstream(upstream);
    if (auto refusal = why_not_rebalance(*index)) co_return std::unexpected(*std::move(refusal));
    const TimePoint before = SteadyClock().now() - order.min_age;
    Backends backends;
    for (auto& status : parts_.monitors.of(*index).backends())
        backends.push_back(std::move(status.backend));
    auto counting = count_sessions(backends, before);
    const auto counted = co_await std::move(counting);
    // Meanwhile the configuration may have changed, and who the backends are.
    const auto place = find_upstream(upstream);
    if (!place) co_return no_upstream(upstream);
    if (auto refusal = why_not_rebalance(*place)) co_return std::unexpected(*std::move(refusal));
    std::map<const balancer::Backend*, const std::vector<SessionCount>*> counts_of;
    for (std::size_t i = 0; i < backends.size(); ++i)
        counts_of.emplace(backends[i].get(), &counted[i]);
    SessionCounts counts;
    backends.clear();
    for (auto& status : parts_.monitors.of(*place).backends()) {
        const auto known = counts_of.find(status.backend.get());
        counts.push_back(known == counts_of.end() ? std::vector<SessionCount>() : *known->second);
        backends.push_back(std::move(status.backend));
    }
    const auto load = competitors(*place, counts);
    const auto closing = balancer::plan_rebalance(load, order.max_share);
    Ending ending;
    for (std::size_t i = 0; i < load.size() && i < backends.size(); ++i) {
        const auto old = old_enough(counts[i]);
        const std::uint64_t here = std::min<std::uint64_t>(
            closing[i], std::accumulate(old.begin(), old.end(), std::uint64_t{0}));
        ending.sessions += load[i].sessions;
        if (here == 0) continue;
        ending.closing += here;
        ending.per_backend[backends[i]->name()] = here;
        if (!order.dry_run)
            end_sessions(backends[i], before, apportion(old, here), order.over,
                         CloseReason::rebalanced);
    }
    if (!order.dry_run && ending.closing != 0)
        record({.kind = "rebalance",
                .upstream = std::move(upstream),
                .detail = fmt::format("{} of {} sessions move over {}", ending.closing,
                                      ending.sessions, config::format_duration(order.over)),
                .actor = std::move(actor)});
    co_return ending;
}

Outcome<void> Service::pause(const std::string& upstream, Duration max, const std::string& actor) {
    if (auto refusal = why_no_change()) return std::unexpected(*std::move(refusal));
    const auto index = find_upstream(upstream);
    if (!index) return no_upstream(upstream);
    auto& pause = pauses_[upstream];
    if (!pause) pause = std::make_unique<Pause>(parts_.context);
    pause->ends = SteadyClock().now() + max;
    pause->timer.expires_at(to_asio(pause->ends));
    pause->timer.async_wait([this, at = upstream](const boost::system::error_code& error) {
        // It may have been renewed since the timer went off.
        const auto found = pauses_.find(at);
        if (!error && found != pauses_.end() && SteadyClock().now() >= found->second->ends)
            end_pause(at, "");
    });
    parts_.server.pause(*index, true);
    record(
        {.kind = "pause",
         .upstream = upstream,
         .to = "paused",
         .detail = fmt::format("new clients are held for at most {}", config::format_duration(max)),
         .actor = actor});
    return {};
}

Outcome<void> Service::resume(const std::string& upstream, const std::string& actor) {
    if (auto refusal = why_no_change()) return std::unexpected(*std::move(refusal));
    const auto index = find_upstream(upstream);
    if (!index) return no_upstream(upstream);
    if (!pauses_.contains(upstream))
        return std::unexpected(Refusal{409, fmt::format("upstream {} is not paused", upstream)});
    end_pause(upstream, actor);
    return {};
}

void Service::end_pause(const std::string& name, const std::string& actor) {
    const std::string upstream = name;  // it may be the name of what is erased
    const auto index = find_upstream(upstream);
    if (pauses_.erase(upstream) == 0 || stopped_ || !index) return;
    parts_.server.pause(*index, false);
    record({.kind = "pause",
            .upstream = upstream,
            .from = "paused",
            .detail = actor.empty() ? "the pause is over: clients are served again"
                                    : "clients are served again",
            .actor = actor});
}

Outcome<void> Service::split(const std::string& listener,
                             const std::map<std::string, std::uint32_t>& weights,
                             const std::string& actor) {
    if (auto refusal = why_no_change()) return std::unexpected(*std::move(refusal));
    const auto index = find_listener(listener);
    if (!index) return no_listener(listener);
    const auto& parts = config().listeners[*index].split;
    if (parts.empty())
        return std::unexpected(Refusal{409, fmt::format("listener {} has no split", listener)});
    std::vector<std::uint32_t> changed;
    std::vector<std::string> names;
    std::uint64_t sum = 0;
    for (const auto& part : parts) {
        const auto given = weights.find(part.upstream);
        names.push_back(part.upstream);
        changed.push_back(given == weights.end() ? 0 : given->second);
        sum += changed.back();
    }
    Refusal refusal{
        400, fmt::format("the split of listener {} is: {}", listener, fmt::join(names, ", "))};
    for (const auto& [name, weight] : weights)
        if (std::ranges::find(names, name) == names.end())
            refusal.details.push_back(fmt::format("'{}' is not part of it", name));
    for (const auto& name : names)
        if (!weights.contains(name))
            refusal.details.push_back(fmt::format("the weight of '{}' is missing", name));
    if (sum == 0) refusal.details.emplace_back("at least one weight must be above 0");
    if (!refusal.details.empty()) return std::unexpected(std::move(refusal));
    parts_.server.set_split(*index, changed);
    std::vector<std::string> shown;
    for (std::size_t i = 0; i < names.size(); ++i)
        shown.push_back(fmt::format("{}={}", names[i], changed[i]));
    splits_[listener] = {std::move(changed), actor};
    record({.kind = "override",
            .listener = listener,
            .detail = fmt::format("split set to {}", fmt::join(shown, " ")),
            .actor = actor});
    return {};
}

Outcome<void> Service::set_draining(const std::string& listener, bool draining,
                                    const std::string& actor) {
    if (auto refusal = why_no_change()) return std::unexpected(*std::move(refusal));
    if (!listener.empty() && !find_listener(listener)) return no_listener(listener);
    if (listener.empty())
        draining_ = draining;
    else if (draining)
        draining_listeners_.insert(listener);
    else
        draining_listeners_.erase(listener);
    record({.kind = "drain",
            .listener = listener,
            .to = draining ? "draining" : "running",
            .detail = fmt::format("{} {}", listener.empty() ? "the process" : "the listener",
                                  draining ? "tells clients to go elsewhere (/readyz), and goes on "
                                             "accepting"
                                           : "is there for clients again (/readyz)"),
            .actor = actor});
    return {};
}

}  // namespace penstock::app
