// What is said to the processes before this one, so that it counts for their sessions too.
#include <utility>

#include <fmt/format.h>

#include "app/operations/old_orders.hpp"
#include "app/operations/service.hpp"
#include "app/upgrade/old_processes.hpp"
#include "app/with_commas.hpp"

namespace penstock::app {

using boost::asio::awaitable;
using upgrade::Order;

awaitable<Service::Replies> Service::order_old(Order order) {
    if (peers_.old == nullptr || peers_.old->empty()) co_return Replies();
    auto ordering = peers_.old->order_all(std::move(order));
    co_return co_await std::move(ordering);
}

Service::OldGauges Service::old_gauges() const {
    if (peers_.old == nullptr) return {};
    return {peers_.old->gauges(), peers_.old->gauges_out_of_reach()};
}

awaitable<void> Service::end_old(std::map<int, Order> orders, admin::Ending& ending) {
    if (orders.empty()) co_return;
    auto ordering = peers_.old->order_each(orders);
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
    auto ordering = peers_.old->order_all_of(std::move(orders));
    const auto all_replies = co_await std::move(ordering);
    for (std::size_t i = 0; i < backends.size(); ++i)
        for (const auto& reply : all_replies[i])
            if (const auto note = left_there(reply, backends[i]); !note.empty())
                parts_.log.warn("reload: {}", note);
}

}  // namespace penstock::app
