// Sessions that end because an operator says so, here and in the processes before this one.
#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "app/operations/ending_plan.hpp"
#include "app/operations/old_orders.hpp"
#include "app/operations/prospect.hpp"
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

namespace {

Order ending_order(const std::string& upstream, CloseReason reason, Duration over,
                   const std::string& actor) {
    return {.kind = Order::Kind::end_sessions,
            .upstream = upstream,
            .over = over,
            .reason = std::string(name_of(reason)),
            .by = actor};
}

}  // namespace

awaitable<Outcome<Ending>> Service::kill_backend(std::string upstream, std::string backend,
                                                 admin::KillOrder order, std::string actor) {
    const auto index = find_upstream(upstream);
    const auto target = index ? find_backend(*index, backend) : nullptr;
    const TimePoint now = SteadyClock().now();
    Backends asked;
    if (target) asked.push_back(target);
    auto counting = sessions_.count(std::move(asked), now);
    const auto counted = co_await std::move(counting);
    auto ordering = order_old({.kind = Order::Kind::count_sessions, .upstream = upstream});
    const auto old = co_await std::move(ordering);
    // One that has left here may have sessions there.
    if (!target && sessions_of(old, {upstream, backend}) == 0)
        co_return index ? no_backend(upstream, backend) : no_upstream(upstream);
    EndingWish wish{.backend = backend};
    if (target) wish.workers = counted.front();
    wish.wanted = static_cast<std::uint64_t>(
        std::ceil(static_cast<double>(places_of(wish.workers, old, backend).sum()) * order.share));
    auto plan =
        plan_ending({wish}, old, ending_order(upstream, CloseReason::killed, order.over, actor));
    Ending& ending = plan.ending;
    ending.per_backend.clear();  // it is one
    if (order.dry_run || ending.closing == 0) co_return ending;
    if (target) sessions_.end(target, now, plan.quotas.front(), order.over, CloseReason::killed);
    auto ending_old = end_old(std::move(plan.orders), ending);
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
                                                             const std::vector<EndingWish>& wishes,
                                                             const Replies& old) const {
    const TimePoint now = SteadyClock().now();
    const Prospect prospect = prospect_of(
        parts_.monitors.of(upstream), config().upstreams[upstream], Role::none, std::nullopt, now);
    const auto view = upstream_view(upstream, now);
    std::set<std::uint32_t> tiers;
    for (const auto& backend : view.backends)
        if (prospect.is_candidate(backend.name)) tiers.insert(backend.tier);
    std::vector<balancer::RebalanceBackend> load;
    for (std::size_t i = 0; i < view.backends.size() && i < wishes.size(); ++i) {
        const auto& backend = view.backends[i];
        // The whole weight, also of one that still starts slowly: that is what it comes to.
        load.push_back(
            {.sessions = static_cast<std::uint32_t>(all_sessions_of(wishes[i], view.name, old)),
             .weight = backend.weight,
             .available = backend.available && tiers.contains(backend.tier)});
    }
    return load;
}

namespace {

// Of `backends`, of which those among `asked` have been counted.
std::vector<EndingWish> wishes_of(const Backends& backends, const Backends& asked,
                                  const WorkerSessions::Counts& counts, std::size_t workers) {
    std::vector<EndingWish> wishes;
    for (const auto& backend : backends) {
        auto& wish = wishes.emplace_back(EndingWish{.backend = backend->name()});
        const auto known = std::ranges::find(asked, backend);
        if (known == asked.end())
            wish.workers.resize(workers);
        else
            wish.workers = counts[static_cast<std::size_t>(known - asked.begin())];
    }
    return wishes;
}

}  // namespace

awaitable<Outcome<Ending>> Service::rebalance(std::string upstream, admin::RebalanceOrder order,
                                              std::string actor) {
    const auto index = find_upstream(upstream);
    if (!index) co_return no_upstream(upstream);
    if (auto refusal = why_not_rebalance(*index)) co_return std::unexpected(*std::move(refusal));
    auto ordering = order_old(
        {.kind = Order::Kind::count_sessions, .upstream = upstream, .min_age = order.min_age});
    auto old = co_await std::move(ordering);
    auto moving = rebalance_with(std::move(upstream), order, std::move(old), std::move(actor));
    co_return co_await std::move(moving);
}

awaitable<Outcome<Ending>> Service::rebalance_with(std::string upstream,
                                                   admin::RebalanceOrder order, Replies old,
                                                   std::string actor) {
    const auto index = find_upstream(upstream);
    if (!index) co_return no_upstream(upstream);
    const TimePoint before = SteadyClock().now() - order.min_age;
    const Backends asked = backends_of(parts_.monitors, *index);
    auto counting = sessions_.count(asked, before);
    const auto counts = co_await std::move(counting);
    // Meanwhile the configuration may have changed, and who the backends are.
    const auto place = find_upstream(upstream);
    if (!place) co_return no_upstream(upstream);
    if (auto refusal = why_not_rebalance(*place)) co_return std::unexpected(*std::move(refusal));
    const Backends backends = backends_of(parts_.monitors, *place);
    auto wishes = wishes_of(backends, asked, counts, parts_.server.workers().size());
    const auto closing =
        balancer::plan_rebalance(competitors(*place, wishes, old), order.max_share);
    for (std::size_t i = 0; i < closing.size(); ++i) wishes[i].wanted = closing[i];
    Order like = ending_order(upstream, CloseReason::rebalanced, order.over, actor);
    like.min_age = order.min_age;
    auto plan = plan_ending(wishes, old, like);
    Ending& ending = plan.ending;
    if (order.dry_run || ending.closing == 0) co_return ending;
    for (std::size_t i = 0; i < backends.size(); ++i)
        sessions_.end(backends[i], before, plan.quotas[i], order.over, CloseReason::rebalanced);
    auto ending_old = end_old(std::move(plan.orders), ending);
    co_await std::move(ending_old);
    record({.kind = "rebalance",
            .upstream = std::move(upstream),
            .detail = fmt::format("{} of {} sessions move over {}", ending.closing, ending.sessions,
                                  config::format_duration(order.over)),
            .actor = std::move(actor)});
    co_return ending;
}

}  // namespace penstock::app
