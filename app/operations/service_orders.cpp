// What is said to the processes before this one, so that it counts for their sessions too, and what
// such a process does that is told so.
#include <utility>

#include <fmt/format.h>

#include "admin/arguments.hpp"
#include "app/find_named.hpp"
#include "app/operations/apportion.hpp"
#include "app/operations/old_orders.hpp"
#include "app/operations/service.hpp"
#include "app/upgrade/old_processes.hpp"
#include "app/with_commas.hpp"

namespace penstock::app {

using boost::asio::awaitable;
using upgrade::Order;
using upgrade::OrderAnswer;

// --- to them ------------------------------------------------------------------------------------

awaitable<Service::Replies> Service::order_old(Order order) {
    if (old_ == nullptr || old_->empty()) co_return Replies();
    auto ordering = old_->order_all(std::move(order));
    co_return co_await std::move(ordering);
}

Service::OldGauges Service::old_gauges() const {
    if (old_ == nullptr) return {};
    return {old_->gauges(), old_->gauges_out_of_reach()};
}

awaitable<void> Service::end_old(std::map<int, Order> orders, admin::Ending& ending) {
    if (orders.empty()) co_return;
    auto ordering = old_->order_each(orders);
    auto replies = co_await std::move(ordering);
    for (auto& reply : replies) {
        std::uint64_t missed = 0;
        for (const auto& [backend, quota] : orders[reply.pid].quotas) {
            const std::uint64_t ends = reply.answer ? reply.answer->closing[backend] : 0;
            const std::uint64_t stays = quota - std::min(quota, ends);
            missed += stays;
            if (const auto per = ending.per_backend.find(backend); per != ending.per_backend.end())
                per->second -= std::min(per->second, stays);
        }
        ending.closing -= std::min(ending.closing, missed);
        ending.old_closing -= std::min(ending.old_closing, missed);
        if (!reply.answer)
            ending.notes.push_back(out_of_reach(
                reply,
                fmt::format("{} of its sessions were to end and stay", with_commas(missed))));
    }
}

awaitable<void> Service::tell_old(std::vector<Order> orders) {
    std::vector<BackendName> backends;
    for (const Order& order : orders) backends.push_back(order.change.name);
    auto ordering = old_->order_all_of(std::move(orders));
    const auto all_replies = co_await std::move(ordering);
    for (std::size_t i = 0; i < backends.size(); ++i)
        for (const auto& reply : all_replies[i])
            if (const auto note = left_there(reply, backends[i]); !note.empty())
                parts_.log.warn("reload: {}", note);
}

// --- from the one that has taken over -----------------------------------------------------------

awaitable<OrderAnswer> Service::obey(Order order) {
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
                auto killing = kill_here(*id);
                answer.done = co_await std::move(killing);
            }
            break;
        case count_sessions: {
            auto counting = obey_count(order, answer);
            co_await std::move(counting);
            break;
        }
        case end_sessions: {
            auto ending = obey_end(order, answer);
            co_await std::move(ending);
            break;
        }
        case change_backend: answer.done = obey_change(order); break;
        case drain_listener: answer.done = parts_.server.drain_listener(order.listener); break;
        case pause:
            if (const auto index = find_upstream(order.upstream)) {
                begin_pause(*index, order.max, by);
                answer.done = true;
            }
            break;
        case resume: answer.done = end_pause(order.upstream, by); break;
        case closes: {
            auto listing = obey_closes(order, answer);
            co_await std::move(listing);
            break;
        }
    }
    co_return answer;
}

bool Service::obey_change(const Order& order) {
    const auto& change = order.change;
    const auto index = find_upstream(change.name.upstream);
    if (!index) return false;
    auto& monitor = parts_.monitors.of(*index);
    bool any = false;
    for (const auto& backend : backends_of(*index)) {
        const std::string& name = backend->name();
        // A name of the file may stand for several; none, for all of the upstream.
        if (!change.name.backend.empty() && !is_of_listed(name, change.name.backend)) continue;
        const auto state = state_for(order, backend->address());
        const bool done =
            state || change.weight
                ? monitor.override_backend(name, {state, change.weight, change.by, change.since})
                : monitor.reset_backend(name);
        any = any || done;
    }
    return any;
}

awaitable<void> Service::obey_count(const Order& order, OrderAnswer& answer) {
    const auto index = find_upstream(order.upstream);
    if (!index) co_return;
    const Backends backends = backends_of(*index);
    auto counting = count_sessions(backends, SteadyClock().now() - order.min_age);
    const auto counts = co_await std::move(counting);
    for (std::size_t i = 0; i < backends.size(); ++i) {
        SessionCount& sum = answer.sessions[backends[i]->name()];
        for (const SessionCount& count : counts[i]) {
            sum.all += count.all;
            sum.old_enough += count.old_enough;
        }
    }
    answer.done = true;
}

awaitable<void> Service::obey_end(const Order& order, OrderAnswer& answer) {
    const auto index = find_upstream(order.upstream);
    if (!index) co_return;
    const TimePoint before = SteadyClock().now() - order.min_age;
    const CloseReason reason = order.reason == name_of(CloseReason::rebalanced)
                                   ? CloseReason::rebalanced
                                   : CloseReason::killed;
    const Backends backends = backends_of(*index);
    auto counting = count_sessions(backends, before);
    const auto counts = co_await std::move(counting);
    for (std::size_t i = 0; i < backends.size(); ++i) {
        const auto quota = order.quotas.find(backends[i]->name());
        if (quota == order.quotas.end()) continue;
        const Places places = places_of(counts[i], {}, quota->first);
        const std::uint64_t here = std::min(quota->second, places.sum());
        answer.closing[quota->first] = here;
        end_sessions(backends[i], before, apportion(places.counts, here), order.over, reason);
    }
    answer.done = true;
}

awaitable<void> Service::obey_closes(const Order& order, OrderAnswer& answer) {
    proxy::ClosedFilter filter{
        .reason = admin::reason_named(order.reason).value_or(CloseReason::none),
        .upstream = order.upstream,
        .limit = order.limit};
    auto listing = closes_here(std::move(filter));
    const auto lines = co_await std::move(listing);
    for (const auto& line : lines)
        answer.closes.push_back(
            boost::json::array{line.ended.time_since_epoch().count(), line.json});
    answer.done = true;
}

}  // namespace penstock::app
