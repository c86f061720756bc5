// What an operator does to the running proxy. Each change leaves an event with who did it.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/operations/old_orders.hpp"
#include "app/operations/service.hpp"
#include "app/refusals.hpp"
#include "app/with_commas.hpp"
#include "config/names.hpp"
#include "config/value.hpp"
#include "net/asio_words.hpp"

namespace penstock::app {

namespace asio = boost::asio;

using admin::Done;
using admin::Outcome;
using admin::Refusal;
using asio::awaitable;
using upgrade::Order;

awaitable<Outcome<Done>> Service::change_backend(std::string upstream, std::string backend,
                                                 admin::BackendChange change, std::string actor) {
    if (auto changed = change_here(upstream, backend, change, actor); !changed)
        co_return std::unexpected(changed.error());
    Order order{.kind = Order::Kind::change_backend, .by = actor};
    order.change = {.name = {upstream, backend},
                    .state = change.state,
                    .weight = change.weight,
                    .by = actor,
                    .since = wall_now()};
    auto ordering = order_old(std::move(order));
    const auto replies = co_await std::move(ordering);
    Done done;
    if (!change.state) co_return done;  // only where sessions were to end does it matter
    for (const auto& reply : replies)
        if (auto note = left_there(reply, {upstream, backend}); !note.empty())
            done.notes.push_back(std::move(note));
    co_return done;
}

Outcome<void> Service::change_here(const std::string& upstream, const std::string& backend,
                                   const admin::BackendChange& change, const std::string& actor) {
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
    const std::string shown = proxy::to_string(id);
    auto killing = sessions_.kill(id);
    if (co_await std::move(killing)) {
        record({.kind = "kill",
                .detail = fmt::format("session {} was ended", shown),
                .actor = std::move(actor)});
        co_return Outcome<void>();
    }
    Replies replies;
    if (id.process != parts_.server.shared().process_id) {
        auto ordering =
            order_old({.kind = Order::Kind::kill_session, .session = shown, .by = actor});
        replies = co_await std::move(ordering);
    }
    Refusal refusal{404, fmt::format("there is no session {}; it may have ended", shown)};
    for (const auto& reply : replies) {
        if (reply.answer && reply.answer->done) {
            record({.kind = "kill",
                    .detail =
                        fmt::format("session {} of the old process {} was ended", shown, reply.pid),
                    .actor = std::move(actor)});
            co_return Outcome<void>();
        }
        if (reply.answer || reply.gauges.connections == 0) continue;
        refusal = {409, fmt::format("there is no session {} in this process", shown),
                   std::move(refusal.details)};
        refusal.details.push_back(out_of_reach(reply, "the session may be one of its"));
    }
    co_return std::unexpected(std::move(refusal));
}

awaitable<Outcome<Done>> Service::pause(std::string upstream, Duration max, std::string actor) {
    if (auto refusal = why_no_change()) co_return std::unexpected(*std::move(refusal));
    const auto index = find_upstream(upstream);
    if (!index) co_return no_upstream(upstream);
    begin_pause(*index, max, actor);
    auto ordering = order_old(
        {.kind = Order::Kind::pause, .upstream = std::move(upstream), .max = max, .by = actor});
    static_cast<void>(co_await std::move(ordering));  // few are on their way there yet
    co_return Done();
}

void Service::begin_pause(std::size_t index, Duration max, const std::string& actor) {
    const std::string& upstream = config().upstreams[index].name;
    auto& pause = pauses_[upstream];
    if (!pause) pause = std::make_unique<Pause>(parts_.context);
    pause->ends = SteadyClock().now() + max;
    pause->by = actor;
    pause->timer.expires_at(net::to_asio(pause->ends));
    pause->timer.async_wait([this, at = upstream](const boost::system::error_code& error) {
        // It may have been renewed since the timer went off.
        const auto found = pauses_.find(at);
        if (!error && found != pauses_.end() && SteadyClock().now() >= found->second->ends)
            end_pause(at, "");
    });
    parts_.server.pause(index, true);
    record(
        {.kind = "pause",
         .upstream = upstream,
         .to = "paused",
         .detail = fmt::format("new clients are held for at most {}", config::format_duration(max)),
         .actor = actor});
}

// Clients that an old process holds, it holds also where the pause here is over.
awaitable<Outcome<Done>> Service::resume(std::string upstream, std::string actor) {
    if (auto refusal = why_no_change()) co_return std::unexpected(*std::move(refusal));
    if (!find_upstream(upstream)) co_return no_upstream(upstream);
    bool any = end_pause(upstream, actor);
    auto ordering = order_old({.kind = Order::Kind::resume, .upstream = upstream, .by = actor});
    const auto replies = co_await std::move(ordering);
    Done done;
    for (const auto& reply : replies) {
        if (reply.answer && reply.answer->done) any = true;
        const auto had = reply.gauges.upstreams.find(upstream);
        if (reply.answer || had == reply.gauges.upstreams.end() || had->second.held == 0) continue;
        done.notes.push_back(
            out_of_reach(reply, fmt::format("{} client{} held there", with_commas(had->second.held),
                                            had->second.held == 1 ? " is" : "s are")));
    }
    if (!any)
        co_return std::unexpected(
            Refusal{409, fmt::format("upstream {} is not paused", upstream), done.notes});
    co_return done;
}

bool Service::end_pause(const std::string& name, const std::string& actor) {
    const std::string upstream = name;  // it may be the name of what is erased
    const auto index = find_upstream(upstream);
    if (pauses_.erase(upstream) == 0 || stopped_ || !index) return false;
    parts_.server.pause(*index, false);
    record({.kind = "pause",
            .upstream = upstream,
            .from = "paused",
            .detail = actor.empty() ? "the pause is over: clients are served again"
                                    : "clients are served again",
            .actor = actor});
    return true;
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

std::optional<Refusal> Service::why_no_undrain(const std::string& listener) const {
    if (!listener.empty()) {
        if (draining_listeners_.contains(listener)) return std::nullopt;
        return Refusal{409, fmt::format("listener {} is not draining", listener)};
    }
    if (draining_) return std::nullopt;
    if (stopping_) return Refusal{409, "the process is stopping: that is not taken back"};
    if (draining_listeners_.empty()) return Refusal{409, "nothing is draining"};
    return Refusal{409, fmt::format("the process is not draining, but these listeners are: {}; "
                                    "name the one that is to be there again",
                                    fmt::join(draining_listeners_, ", "))};
}

Outcome<void> Service::set_draining(const std::string& listener, bool draining,
                                    const std::string& actor) {
    if (auto refusal = why_no_change()) return std::unexpected(*std::move(refusal));
    if (!listener.empty() && !find_listener(listener)) return no_listener(listener);
    if (!draining)
        if (auto refusal = why_no_undrain(listener)) return std::unexpected(*std::move(refusal));
    if (listener.empty())
        draining_ = draining;
    else if (draining)
        draining_listeners_.insert(listener);
    else
        draining_listeners_.erase(listener);
    std::string detail = "tells clients to go elsewhere (/readyz), and goes on accepting";
    if (!draining) {
        detail = "is there for clients again (/readyz)";
        std::vector<std::string> left(draining_listeners_.begin(), draining_listeners_.end());
        if (draining_ || stopping_) left.insert(left.begin(), "the process");
        if (!left.empty())
            detail = fmt::format("no longer drains; what does still: {}", fmt::join(left, ", "));
    }
    record(
        {.kind = "drain",
         .listener = listener,
         .to = draining ? "draining" : "running",
         .detail = fmt::format("{} {}", listener.empty() ? "the process" : "the listener", detail),
         .actor = actor});
    return {};
}

}  // namespace penstock::app
