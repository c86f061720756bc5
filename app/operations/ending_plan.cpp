#include "app/operations/ending_plan.hpp"

#include <numeric>
#include <utility>

#include "app/operations/apportion.hpp"

namespace penstock::app {

namespace {

std::uint64_t sum_of(const std::vector<std::size_t>& counts) {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

// Returns how many of the sessions are to end there.
std::uint64_t add_orders(const Places& places, const std::vector<std::size_t>& quotas,
                         const std::string& backend, const upgrade::Order& like,
                         std::map<int, upgrade::Order>& orders) {
    for (std::size_t i = 0; i < quotas.size(); ++i) {
        if (quotas[i] == 0) continue;
        const auto order = orders.emplace(places.pids[i], like).first;
        order->second.quotas[backend] = quotas[i];
    }
    return sum_of(quotas);
}

}  // namespace

std::uint64_t all_sessions_of(const EndingWish& wish, const std::string& upstream,
                              const std::vector<upgrade::OrderReply>& old) {
    std::uint64_t sum = sessions_of(old, {upstream, wish.backend});
    for (const auto& count : wish.workers) sum += count.all;
    return sum;
}

EndingPlan plan_ending(const std::vector<EndingWish>& wishes,
                       const std::vector<upgrade::OrderReply>& old, const upgrade::Order& like) {
    EndingPlan plan;
    auto& ending = plan.ending;
    for (const EndingWish& wish : wishes) {
        const BackendName name{like.upstream, wish.backend};
        ending.sessions += all_sessions_of(wish, like.upstream, old);
        ending.old_sessions += sessions_of(old, name);
        for (const auto& reply : old)
            if (auto note = left_there(reply, name); !note.empty())
                ending.notes.push_back(std::move(note));
        // The workers come first, then the old processes.
        const Places places = places_of(wish.workers, old, wish.backend);
        auto quotas = apportion(places.counts, wish.wanted);
        if (const std::uint64_t closing = sum_of(quotas); closing != 0) {
            ending.closing += closing;
            ending.per_backend[wish.backend] = closing;
        }
        const auto elsewhere = quotas.begin() + static_cast<std::ptrdiff_t>(wish.workers.size());
        ending.old_closing +=
            add_orders(places, {elsewhere, quotas.end()}, wish.backend, like, plan.orders);
        quotas.erase(elsewhere, quotas.end());
        plan.quotas.push_back(std::move(quotas));
    }
    return plan;
}

}  // namespace penstock::app
