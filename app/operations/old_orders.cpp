#include "app/operations/old_orders.hpp"

#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "app/find_named.hpp"
#include "app/with_commas.hpp"

namespace penstock::app {

using upgrade::Order;

std::uint64_t Places::sum() const {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

Places places_of(const std::vector<upgrade::SessionCount>& workers,
                 const std::vector<upgrade::OrderReply>& old, const std::string& backend) {
    Places places;
    for (const auto& count : workers) places.counts.push_back(count.old_enough);
    for (const auto& reply : old) {
        if (!reply.answer) continue;
        const auto found = reply.answer->sessions.find(backend);
        if (found == reply.answer->sessions.end()) continue;
        places.counts.push_back(found->second.old_enough);
        places.pids.push_back(reply.pid);
    }
    return places;
}

std::uint64_t sessions_of(const std::vector<upgrade::OrderReply>& old, const BackendName& backend) {
    std::uint64_t sum = 0;
    for (const auto& reply : old) {
        if (reply.answer) {
            const auto found = reply.answer->sessions.find(backend.backend);
            if (found != reply.answer->sessions.end()) sum += found->second.all;
        } else {
            const auto found = reply.gauges.backends.find(backend);
            if (found != reply.gauges.backends.end()) sum += found->second.active;
        }
    }
    return sum;
}

namespace {

Order& add_change(std::vector<Order>& orders, const std::string& upstream,
                  const std::string& backend, std::optional<config::BackendState> state) {
    Order order{.kind = Order::Kind::change_backend};
    order.change.name = {upstream, backend};
    order.change.state = state;
    return orders.emplace_back(std::move(order));
}

// The old process may have it at another address than the configuration of before.
void add_change_at(std::vector<Order>& orders, const std::string& upstream,
                   const config::Backend& is, config::BackendState state_otherwise) {
    Order& order = add_change(orders, upstream, is.name, state_otherwise);
    if (!is.host.empty()) return;  // addresses of names come and go
    order.address = is.address.to_string();
    order.state_there = is.state;
}

void add_backends(std::vector<Order>& orders, const config::Upstream& before,
                  const config::Upstream& now) {
    for (const auto& backend : before.backends) {
        const auto* is = find_named(now.backends, backend.name);
        if (is == nullptr)
            add_change(orders, now.name, backend.name, config::BackendState::drain);
        else if (is->address != backend.address)
            add_change_at(orders, now.name, *is, config::BackendState::drain);
        else if (is->state != backend.state)
            add_change(orders, now.name, backend.name, is->state);
    }
    for (const auto& backend : now.backends)
        if (find_named(before.backends, backend.name) == nullptr)
            add_change_at(orders, now.name, backend, backend.state);
}

}  // namespace

std::vector<Order> orders_between(const config::Config& before, const config::Config& now) {
    std::vector<Order> orders;
    for (const auto& listener : before.listeners)
        if (find_named(now.listeners, listener.name) == nullptr)
            orders.push_back({.kind = Order::Kind::drain_listener, .listener = listener.name});
    for (const auto& upstream : before.upstreams) {
        if (const auto* is = find_named(now.upstreams, upstream.name))
            add_backends(orders, upstream, *is);
        else
            add_change(orders, upstream.name, "", config::BackendState::drain);
    }
    for (const auto& upstream : now.upstreams)
        if (find_named(before.upstreams, upstream.name) == nullptr)
            add_change(orders, upstream.name, "", std::nullopt);
    return orders;
}

std::optional<config::BackendState> state_for(const Order& order, const Endpoint& address) {
    if (order.address.empty()) return order.change.state;
    return order.address == address.to_string() ? order.state_there : config::BackendState::drain;
}

std::string out_of_reach(const upgrade::OrderReply& reply, std::string_view what) {
    return fmt::format(
        "the old process {} (version {}) was not reached: {}; to end that process: "
        "kill -TERM {}",
        reply.pid, reply.version, what, reply.pid);
}

std::string left_there(const upgrade::OrderReply& reply, const BackendName& backend) {
    const auto had = reply.gauges.backends.find(backend);
    if (reply.answer || had == reply.gauges.backends.end() || had->second.active == 0) return {};
    const std::uint64_t sessions = had->second.active;
    return out_of_reach(reply,
                        fmt::format("{} session{} of {}/{} stay{} there", with_commas(sessions),
                                    sessions == 1 ? "" : "s", backend.upstream, backend.backend,
                                    sessions == 1 ? "s" : ""));
}

}  // namespace penstock::app
