// What an operator does to the running proxy. Each change leaves an event with who did it.
#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/operations/apportion.hpp"
#include "app/operations/ask_workers.hpp"
#include "app/operations/service.hpp"
#include "balancer/rebalance.hpp"
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

std::string_view name_of(config::BackendState state) noexcept {
    switch (state) {
        case config::BackendState::ready: return "ready";
        case config::BackendState::drain: return "drain";
        case config::BackendState::maintenance: return "maintenance";
    }
    std::unreachable();
}

}  // namespace

Outcome<void> Service::change_backend(const std::string& upstream, const std::string& backend,
                                      const admin::BackendChange& change,
                                      const std::string& actor) {
    const auto index = find_upstream(upstream);
    if (!index) return no_upstream(upstream);
    auto& monitor = parts_.monitors.of(*index);
    const auto before = monitor.backends();
    const auto found = std::ranges::find_if(
        before, [&](const auto& status) { return status.backend->name() == backend; });
    if (found == before.end()) return no_backend(upstream, backend);
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
                .from = std::string(name_of(found->as.state)),
                .to = std::string(name_of(*change.state)),
                .detail = fmt::format("state set to {}", name_of(*change.state)),
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
    // It may have been passed on to another worker after it got its number.
    auto asking = ask_workers<bool>(
        parts_.context, workers,
        [sequence = id.sequence](proxy::Worker& worker) { return worker.kill(sequence); });
    const auto answers = co_await std::move(asking);
    if (std::ranges::find(answers, true) == answers.end()) co_return missing();
    record({.kind = "kill",
            .detail = fmt::format("session {} was ended", proxy::to_string(id)),
            .actor = std::move(actor)});
    co_return Outcome<void>();
}

awaitable<std::vector<std::size_t>> Service::count_sessions(
    std::shared_ptr<const balancer::Backend> backend, TimePoint before) {
    auto asking = ask_workers<std::size_t>(
        parts_.context, parts_.server.workers(), [backend, before](proxy::Worker& worker) {
            return worker.count_sessions({.backend = backend, .before = before});
        });
    co_return co_await std::move(asking);
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
    auto counting = count_sessions(target, now);
    const auto counts = co_await std::move(counting);
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

awaitable<Outcome<Ending>> Service::rebalance(std::string upstream, admin::RebalanceOrder order,
                                              std::string actor) {
    const auto index = find_upstream(upstream);
    if (!index) co_return no_upstream(upstream);
    const TimePoint now = SteadyClock().now();
    const TimePoint before = now - order.min_age;
    const auto backends = parts_.monitors.of(*index).backends();
    const admin::UpstreamView view = upstream_view(*index, now);
    std::vector<balancer::RebalanceBackend> load;
    std::vector<std::vector<std::size_t>> counts;
    for (std::size_t i = 0; i < backends.size() && i < view.backends.size(); ++i) {
        auto counting = count_sessions(backends[i].backend, now);
        const auto all = co_await std::move(counting);
        std::uint32_t sessions = 0;
        for (const std::size_t count : all) sessions += static_cast<std::uint32_t>(count);
        load.push_back({.sessions = sessions,
                        .weight = static_cast<std::uint32_t>(view.backends[i].effective_weight *
                                                             balancer::weight_scale),
                        .available = view.backends[i].available});
        auto counting_old = count_sessions(backends[i].backend, before);
        counts.push_back(co_await std::move(counting_old));
    }
    const auto closing = balancer::plan_rebalance(load, order.max_share);
    Ending ending;
    for (std::size_t i = 0; i < load.size(); ++i) {
        std::uint64_t old = 0;
        for (const std::size_t count : counts[i]) old += count;
        const std::uint64_t here = std::min<std::uint64_t>(closing[i], old);
        ending.sessions += load[i].sessions;
        if (here == 0) continue;
        ending.closing += here;
        ending.per_backend[backends[i].backend->name()] = here;
        if (!order.dry_run)
            end_sessions(backends[i].backend, before, apportion(counts[i], here), order.over,
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
    const auto index = find_upstream(upstream);
    if (!index) return no_upstream(upstream);
    auto& pause = pauses_[*index];
    if (!pause) pause = std::make_unique<Pause>(parts_.context);
    pause->ends = SteadyClock().now() + max;
    pause->timer.expires_at(std::chrono::steady_clock::time_point(pause->ends.time_since_epoch()));
    pause->timer.async_wait([this, at = *index](const boost::system::error_code& error) {
        if (!error) end_pause(at, "");
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
    const auto index = find_upstream(upstream);
    if (!index) return no_upstream(upstream);
    if (!pauses_.contains(*index))
        return std::unexpected(Refusal{409, fmt::format("upstream {} is not paused", upstream)});
    end_pause(*index, actor);
    return {};
}

void Service::end_pause(std::size_t upstream, const std::string& actor) {
    if (pauses_.erase(upstream) == 0 || stopped_) return;
    parts_.server.pause(upstream, false);
    record({.kind = "pause",
            .upstream = parts_.config.upstreams[upstream].name,
            .from = "paused",
            .detail = actor.empty() ? "the pause is over: clients are served again"
                                    : "clients are served again",
            .actor = actor});
}

Outcome<void> Service::split(const std::string& listener,
                             const std::map<std::string, std::uint32_t>& weights,
                             const std::string& actor) {
    const auto index = find_listener(listener);
    if (!index) return no_listener(listener);
    const auto& parts = parts_.config.listeners[*index].split;
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
    splits_[*index] = {std::move(changed), actor};
    record({.kind = "override",
            .listener = listener,
            .detail = fmt::format("split set to {}", fmt::join(shown, " ")),
            .actor = actor});
    return {};
}

Outcome<void> Service::set_draining(const std::string& listener, bool draining,
                                    const std::string& actor) {
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
