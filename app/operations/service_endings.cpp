// Sessions that end because an operator says so, here and in the processes before this one.
#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "app/operations/apportion.hpp"
#include "app/operations/ask_workers.hpp"
#include "app/operations/old_orders.hpp"
#include "app/operations/service.hpp"
#include "app/refusals.hpp"
#include "config/leads_to.hpp"
#include "config/names.hpp"
#include "config/value.hpp"

namespace penstock::app {

namespace asio = boost::asio;

using admin::Ending;
using admin::Outcome;
using admin::Refusal;
using asio::awaitable;
using upgrade::Order;

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

Service::Backends Service::backends_of(std::size_t upstream) const {
    Backends backends;
    for (auto& status : parts_.monitors.of(upstream).backends())
        backends.push_back(std::move(status.backend));
    return backends;
}

namespace {

void add_notes(const std::vector<upgrade::OrderReply>& old, const BackendName& backend,
               std::vector<std::string>& notes) {
    for (const auto& reply : old)
        if (auto note = left_there(reply, backend); !note.empty()) notes.push_back(std::move(note));
}

// What old processes have to end of that backend; the last quotas are theirs.
void add_quotas(const Places& places, const std::vector<std::size_t>& quotas,
                const std::string& backend, const Order& like, std::map<int, Order>& orders) {
    const std::size_t first = places.counts.size() - places.pids.size();
    for (std::size_t i = 0; i < places.pids.size(); ++i) {
        if (quotas[first + i] == 0) continue;
        const auto order = orders.emplace(places.pids[i], like).first;
        order->second.quotas[backend] = quotas[first + i];
    }
}

std::uint64_t sum_of(const std::map<int, Order>& orders) {
    std::uint64_t sum = 0;
    for (const auto& [pid, order] : orders)
        for (const auto& [backend, quota] : order.quotas) sum += quota;
    return sum;
}

}  // namespace

awaitable<Outcome<Ending>> Service::kill_backend(std::string upstream, std::string backend,
                                                 admin::KillOrder order, std::string actor) {
    const auto index = find_upstream(upstream);
    const auto target = index ? find_backend(*index, backend) : nullptr;
    const TimePoint now = SteadyClock().now();
    Backends asked;
    if (target) asked.push_back(target);
    auto counting = count_sessions(std::move(asked), now);
    const auto counted = co_await std::move(counting);
    auto ordering = order_old({.kind = Order::Kind::count_sessions, .upstream = upstream});
    const auto old = co_await std::move(ordering);
    const BackendName name{upstream, backend};
    Ending ending{.old_sessions = sessions_of(old, name)};
    // One that has left here may have sessions there.
    if (!target && ending.old_sessions == 0)
        co_return index ? no_backend(upstream, backend) : no_upstream(upstream);
    add_notes(old, name, ending.notes);
    const Places places =
        places_of(target ? counted.front() : std::vector<SessionCount>(), old, backend);
    ending.sessions = places.sum() - places.old_sessions + ending.old_sessions;
    ending.closing =
        static_cast<std::uint64_t>(std::ceil(static_cast<double>(places.sum()) * order.share));
    const auto quotas = apportion(places.counts, ending.closing);
    std::map<int, Order> orders;
    add_quotas(places, quotas, backend,
               {.kind = Order::Kind::end_sessions,
                .upstream = upstream,
                .over = order.over,
                .reason = std::string(name_of(CloseReason::killed)),
                .by = actor},
               orders);
    ending.old_closing = sum_of(orders);
    if (order.dry_run || ending.closing == 0) co_return ending;
    if (target) end_sessions(target, now, quotas, order.over, CloseReason::killed);
    auto ending_old = end_old(std::move(orders), ending);
    co_await std::move(ending_old);
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
                                                             const SessionCounts& counts,
                                                             const Replies& old) const {
    const TimePoint now = SteadyClock().now();
    const Prospect prospect = prospect_of(upstream, Role::none, std::nullopt, now);
    const auto view = upstream_view(upstream, now);
    std::set<std::uint32_t> tiers;
    for (const auto& backend : view.backends)
        if (prospect.is_candidate(backend.name)) tiers.insert(backend.tier);
    std::vector<balancer::RebalanceBackend> load;
    for (std::size_t i = 0; i < view.backends.size() && i < counts.size(); ++i) {
        const auto& backend = view.backends[i];
        auto sessions = static_cast<std::uint32_t>(sessions_of(old, {view.name, backend.name}));
        for (const SessionCount& count : counts[i])
            sessions += static_cast<std::uint32_t>(count.all);
        // The whole weight, also of one that still starts slowly: that is what it comes to.
        load.push_back({.sessions = sessions,
                        .weight = backend.weight,
                        .available = backend.available && tiers.contains(backend.tier)});
    }
    return load;
}

// One that health starts is about this process alone: the old ones start their own.
awaitable<Outcome<Ending>> Service::rebalance(std::string upstream, admin::RebalanceOrder order,
                                              std::string actor) {
    const auto index = find_upstream(upstream);
    if (!index) co_return no_upstream(upstream);
    if (auto refusal = why_not_rebalance(*index)) co_return std::unexpected(*std::move(refusal));
    const TimePoint before = SteadyClock().now() - order.min_age;
    const Backends backends_before = backends_of(*index);
    Replies old;
    if (!actor.empty()) {
        auto ordering = order_old(
            {.kind = Order::Kind::count_sessions, .upstream = upstream, .min_age = order.min_age});
        old = co_await std::move(ordering);
    }
    auto counting = count_sessions(backends_before, before);
    const auto counted = co_await std::move(counting);
    // Meanwhile the configuration may have changed, and who the backends are.
    const auto place = find_upstream(upstream);
    if (!place) co_return no_upstream(upstream);
    if (auto refusal = why_not_rebalance(*place)) co_return std::unexpected(*std::move(refusal));
    std::map<const balancer::Backend*, const std::vector<SessionCount>*> counts_of;
    for (std::size_t i = 0; i < backends_before.size(); ++i)
        counts_of.emplace(backends_before[i].get(), &counted[i]);
    const Backends backends = backends_of(*place);
    const std::vector<SessionCount> none(parts_.server.workers().size());
    SessionCounts counts;
    for (const auto& backend : backends) {
        const auto known = counts_of.find(backend.get());
        counts.push_back(known == counts_of.end() ? none : *known->second);
    }
    const auto load = competitors(*place, counts, old);
    const auto closing = balancer::plan_rebalance(load, order.max_share);
    Ending ending;
    std::map<int, Order> orders;
    for (std::size_t i = 0; i < load.size() && i < backends.size(); ++i) {
        const BackendName name{upstream, backends[i]->name()};
        const Places places = places_of(counts[i], old, name.backend);
        const std::uint64_t here = std::min<std::uint64_t>(closing[i], places.sum());
        ending.sessions += load[i].sessions;
        ending.old_sessions += sessions_of(old, name);
        add_notes(old, name, ending.notes);
        if (here == 0) continue;
        ending.closing += here;
        ending.per_backend[name.backend] = here;
        const auto quotas = apportion(places.counts, here);
        add_quotas(places, quotas, name.backend,
                   {.kind = Order::Kind::end_sessions,
                    .upstream = upstream,
                    .min_age = order.min_age,
                    .over = order.over,
                    .reason = std::string(name_of(CloseReason::rebalanced)),
                    .by = actor},
                   orders);
        if (!order.dry_run)
            end_sessions(backends[i], before, quotas, order.over, CloseReason::rebalanced);
    }
    ending.old_closing = sum_of(orders);
    if (order.dry_run || ending.closing == 0) co_return ending;
    auto ending_old = end_old(std::move(orders), ending);
    co_await std::move(ending_old);
    record({.kind = "rebalance",
            .upstream = std::move(upstream),
            .detail = fmt::format("{} of {} sessions move over {}", ending.closing, ending.sessions,
                                  config::format_duration(order.over)),
            .actor = std::move(actor)});
    co_return ending;
}

}  // namespace penstock::app
