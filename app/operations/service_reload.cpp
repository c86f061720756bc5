// Changing the configuration, and the program, while it runs.
#include <algorithm>
#include <utility>

#include <boost/asio/co_spawn.hpp>

#include "app/find_named.hpp"
#include "app/operations/old_orders.hpp"
#include "app/operations/service.hpp"
#include "app/reload/reloader.hpp"
#include "app/upgrade/old_processes.hpp"
#include "app/upgrade/upgrader.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

using boost::asio::awaitable;

awaitable<admin::Outcome<admin::Plan>> Service::plan(admin::PlanRequest request) {
    return peers_.reloader->plan(std::move(request));
}

awaitable<admin::Outcome<admin::Reloaded>> Service::reload(admin::ReloadRequest request,
                                                           std::string actor) {
    return peers_.reloader->reload(std::move(request), std::move(actor));
}

awaitable<admin::Outcome<admin::Upgraded>> Service::upgrade(std::string actor) {
    if (peers_.upgrader == nullptr)
        co_return std::unexpected(
            admin::Refusal{.status = 409, .error = "this proxy cannot be upgraded while it runs"});
    auto upgrading = peers_.upgrader->upgrade(std::move(actor));
    co_return co_await std::move(upgrading);
}

std::optional<admin::Refusal> Service::why_no_change() const {
    if (peers_.upgrader == nullptr || !peers_.upgrader->busy()) return std::nullopt;
    return admin::Refusal{409, "another process is taking over; ask again in a moment"};
}

awaitable<boost::json::array> Service::old_sessions(proxy::SessionFilter filter) {
    if (peers_.old == nullptr) co_return boost::json::array();
    auto asking = peers_.old->sessions(filter);
    co_return co_await std::move(asking);
}

void Service::record_upgrade(bool ok, const std::string& text, const std::string& actor) {
    record_told(
        {.kind = "upgrade", .to = ok ? "replaced" : "failed", .detail = text, .actor = actor});
}

void Service::record_certificates(const std::string& text) {
    record_told({.kind = "certificate", .detail = text});
}

void Service::record_reload(bool ok, const std::string& text, const std::string& actor) {
    record_told(
        {.kind = "reload", .to = ok ? "applied" : "failed", .detail = text, .actor = actor});
}

namespace {

// A split that the file has changed goes by the file.
bool keeps_split(const config::Config& before, const config::Config& after,
                 const std::string& listener) {
    const auto* was = find_named(before.listeners, listener);
    const auto* is = find_named(after.listeners, listener);
    return was != nullptr && is != nullptr && is->split == was->split;
}

}  // namespace

Service::Splits Service::splits_under(const config::Config& next) const {
    Splits kept;
    for (const auto& [listener, split] : splits_)
        if (keeps_split(config(), next, listener)) kept.emplace(listener, split.weights);
    return kept;
}

void Service::follow_configuration(const config::Config& before, ConnectionLimit limit) {
    limit_ = std::move(limit);
    std::erase_if(pauses_, [&](const auto& pause) { return !find_upstream(pause.first); });
    std::erase_if(draining_listeners_,
                  [&](const std::string& listener) { return !find_listener(listener); });
    std::erase_if(splits_,
                  [&](const auto& split) { return !keeps_split(before, config(), split.first); });
    follow_backends(SteadyClock().now());
    if (peers_.old == nullptr || peers_.old->empty()) return;
    auto orders = orders_between(before, config());
    for (auto& order : orders) {
        // What an operator has changed of a backend that is here again goes on.
        const auto index = find_upstream(order.change.name.upstream);
        if (!index) continue;
        const auto& overrides = parts_.monitors.of(*index).overrides();
        const auto kept = overrides.find(order.change.name.backend);
        if (kept == overrides.end() || !kept->second.state) continue;
        if (order.change.state != config::BackendState::drain)
            order.change.state = kept->second.state;
        order.state_there = kept->second.state;
    }
    boost::asio::co_spawn(parts_.context, tell_old(std::move(orders)), net::rethrow_failure);
}

}  // namespace penstock::app
