#include "app/operations/order_taker.hpp"

#include <utility>
#include <vector>

#include "admin/arguments.hpp"
#include "app/find_named.hpp"
#include "app/operations/ending_plan.hpp"
#include "app/operations/old_orders.hpp"

namespace penstock::app {

using boost::asio::awaitable;
using upgrade::Order;
using upgrade::OrderAnswer;

std::optional<std::size_t> OrderTaker::find_upstream(const std::string& name) const {
    return index_of_named(parts_.server.config().upstreams, name);
}

awaitable<OrderAnswer> OrderTaker::obey(Order order) {
    using enum Order::Kind;
    OrderAnswer answer{.number = order.number, .understood = order.kind != unknown};
    if (order.valid_until != TimePoint() && SteadyClock().now() > order.valid_until) {
        answer.understood = false;
        co_return answer;
    }
    // In the log there is a line of the other process as well.
    const std::string by = order.by.empty() ? order.by : order.by + ", passed on";
    switch (order.kind) {
        case unknown: break;
        case kill_session:
            if (const auto id = proxy::parse_connection_id(order.session)) {
                auto killing = parts_.sessions.kill(*id);
                answer.done = co_await std::move(killing);
            }
            break;
        case count_sessions: {
            auto counting = count(order, answer);
            co_await std::move(counting);
            break;
        }
        case end_sessions: {
            auto ending = end(order, answer);
            co_await std::move(ending);
            break;
        }
        case change_backend: answer.done = change(order); break;
        case drain_listener: answer.done = parts_.server.drain_listener(order.listener); break;
        case pause: answer.done = parts_.pause(order.upstream, order.max, by); break;
        case resume: answer.done = parts_.resume(order.upstream, by); break;
        case closes: {
            auto listing = list_closes(order, answer);
            co_await std::move(listing);
            break;
        }
    }
    co_return answer;
}

bool OrderTaker::change(const Order& order) {
    const auto& wanted = order.change;
    const auto index = find_upstream(wanted.name.upstream);
    if (!index) return false;
    auto& monitor = parts_.monitors.of(*index);
    bool any = false;
    for (const auto& backend : backends_of(parts_.monitors, *index)) {
        const std::string& name = backend->name();
        // A name of the file may stand for several; none, for all of the upstream.
        if (!wanted.name.backend.empty() && !is_of_listed(name, wanted.name.backend)) continue;
        const auto state = state_for(order, backend->address());
        const bool done =
            state || wanted.weight
                ? monitor.override_backend(name, {state, wanted.weight, wanted.by, wanted.since})
                : monitor.reset_backend(name);
        any = any || done;
    }
    return any;
}

awaitable<void> OrderTaker::count(const Order& order, OrderAnswer& answer) {
    const auto index = find_upstream(order.upstream);
    if (!index) co_return;
    const Backends backends = backends_of(parts_.monitors, *index);
    auto counting = parts_.sessions.count(backends, SteadyClock().now() - order.min_age);
    const auto counts = co_await std::move(counting);
    for (std::size_t i = 0; i < backends.size(); ++i) {
        upgrade::SessionCount& sum = answer.sessions[backends[i]->name()];
        for (const upgrade::SessionCount& count : counts[i]) {
            sum.all += count.all;
            sum.old_enough += count.old_enough;
        }
    }
    answer.done = true;
}

awaitable<void> OrderTaker::end(const Order& order, OrderAnswer& answer) {
    const auto index = find_upstream(order.upstream);
    if (!index) co_return;
    const TimePoint before = SteadyClock().now() - order.min_age;
    const CloseReason reason = order.reason == name_of(CloseReason::rebalanced)
                                   ? CloseReason::rebalanced
                                   : CloseReason::killed;
    const Backends backends = backends_of(parts_.monitors, *index);
    auto counting = parts_.sessions.count(backends, before);
    const auto counts = co_await std::move(counting);
    std::vector<EndingWish> wishes;
    for (std::size_t i = 0; i < backends.size(); ++i) {
        const std::string& name = backends[i]->name();
        const auto quota = order.quotas.find(name);
        wishes.push_back({name, counts[i], quota == order.quotas.end() ? 0 : quota->second});
    }
    auto plan = plan_ending(wishes, {}, order);
    answer.closing = std::move(plan.ending.per_backend);
    for (std::size_t i = 0; i < backends.size(); ++i)
        parts_.sessions.end(backends[i], before, plan.quotas[i], order.over, reason);
    answer.done = true;
}

awaitable<void> OrderTaker::list_closes(const Order& order, OrderAnswer& answer) {
    proxy::ClosedFilter filter{
        .reason = admin::reason_named(order.reason).value_or(CloseReason::none),
        .upstream = order.upstream,
        .limit = order.limit};
    auto listing = parts_.sessions.closed(std::move(filter));
    const auto lines = co_await std::move(listing);
    for (const auto& line : lines)
        answer.closes.push_back(
            boost::json::array{line.ended.time_since_epoch().count(), line.json});
    answer.done = true;
}

}  // namespace penstock::app
