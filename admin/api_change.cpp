// The routes that change something: POST, and each leaves an event that names who did it.
#include <array>
#include <utility>

#include <boost/json/object.hpp>
#include <fmt/format.h>

#include "admin/api.hpp"
#include "admin/arguments.hpp"
#include "admin/bodies.hpp"
#include "admin/responses.hpp"
#include "config/names.hpp"

namespace penstock::admin {

using boost::asio::awaitable;

namespace {

constexpr std::uint64_t largest_weight = 65535;

HttpResponse done(const Outcome<void>& outcome) {
    if (!outcome) return refuse(outcome.error());
    return json_response(boost::json::object{{"ok", true}});
}

HttpResponse done(const Outcome<Done>& outcome) {
    if (!outcome) return refuse(outcome.error());
    return json_response(to_json(*outcome));
}

HttpResponse done(const Outcome<Ending>& outcome) {
    if (!outcome) return refuse(outcome.error());
    return json_response(to_json(*outcome));
}

}  // namespace

awaitable<HttpResponse> Api::change_backend(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"state", "weight", "reset"});
    BackendChange change{.reset = arguments.flag("reset", false)};
    if (arguments.has("state")) {
        const std::string name = arguments.text("state");
        change.state = config::backend_state_named(name);
        if (!change.state)
            arguments.complain(
                fmt::format("state '{}' is none of: ready, drain, maintenance", name));
    }
    if (arguments.has("weight"))
        change.weight = static_cast<std::uint32_t>(arguments.number("weight", 1, largest_weight));
    if (!change.reset && !change.state && !change.weight)
        arguments.complain("nothing to do: give 'state', 'weight' or 'reset'");
    if (change.reset && (change.state || change.weight)) arguments.complain("'reset' goes alone");
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    auto changing =
        operations_.change_backend(request.captured[0], request.captured[1], change, request.actor);
    const auto outcome = co_await std::move(changing);
    co_return done(outcome);
}

awaitable<HttpResponse> Api::kill_session(ApiRequest request) {
    Arguments arguments(request);
    if (auto refusal = arguments.allow({}).refusal()) co_return refuse(*refusal);
    const auto id = proxy::parse_connection_id(request.captured.front());
    if (!id)
        co_return refuse({400, fmt::format("'{}' is no id of a session: 32 hexadecimal digits",
                                           request.captured.front())});
    auto killing = operations_.kill_session(*id, request.actor);
    const auto outcome = co_await std::move(killing);
    co_return done(outcome);
}

awaitable<HttpResponse> Api::kill_backend(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"over", "share", "dry_run"});
    const KillOrder order{.over = arguments.duration("over", {}),
                          .share = arguments.share("share", 1.0),
                          .dry_run = arguments.flag("dry_run", false)};
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    auto killing =
        operations_.kill_backend(request.captured[0], request.captured[1], order, request.actor);
    const auto outcome = co_await std::move(killing);
    co_return done(outcome);
}

awaitable<HttpResponse> Api::rebalance(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"over", "max_share", "dry_run"});
    const RebalanceOrder defaults;
    const RebalanceOrder order{.over = arguments.duration("over", defaults.over),
                               .max_share = arguments.share("max_share", defaults.max_share),
                               .dry_run = arguments.flag("dry_run", false)};
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    auto rebalancing = operations_.rebalance(request.captured.front(), order, request.actor);
    const auto outcome = co_await std::move(rebalancing);
    co_return done(outcome);
}

awaitable<HttpResponse> Api::pause(ApiRequest request) {
    Arguments arguments(request);
    arguments.allow({"max"});
    const Duration max = arguments.duration("max", std::chrono::minutes(1));
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    auto pausing = operations_.pause(request.captured.front(), max, request.actor);
    const auto outcome = co_await std::move(pausing);
    co_return done(outcome);
}

awaitable<HttpResponse> Api::resume(ApiRequest request) {
    Arguments arguments(request);
    if (auto refusal = arguments.allow({}).refusal()) co_return refuse(*refusal);
    auto resuming = operations_.resume(request.captured.front(), request.actor);
    const auto outcome = co_await std::move(resuming);
    co_return done(outcome);
}

awaitable<HttpResponse> Api::split(ApiRequest request) {
    std::map<std::string, std::uint32_t> weights;
    Arguments arguments(request);
    for (const auto& [name, value] : request.body) {
        const std::string upstream(name.data(), name.size());
        weights[upstream] =
            static_cast<std::uint32_t>(arguments.number(upstream, 0, largest_weight));
    }
    if (weights.empty()) arguments.complain("give each upstream of the split its weight");
    if (auto refusal = arguments.refusal()) co_return refuse(*refusal);
    co_return done(operations_.split(request.captured.front(), weights, request.actor));
}

awaitable<HttpResponse> Api::drain(ApiRequest request) { co_return set_draining(request, true); }

awaitable<HttpResponse> Api::undrain(ApiRequest request) { co_return set_draining(request, false); }

HttpResponse Api::set_draining(const ApiRequest& request, bool draining) {
    Arguments arguments(request);
    arguments.allow({"listener"});
    const std::string listener = arguments.text("listener");
    if (auto refusal = arguments.refusal()) return refuse(*refusal);
    const auto outcome = operations_.set_draining(listener, draining, request.actor);
    if (!outcome || draining) return done(outcome);
    // /readyz goes on saying no for them.
    boost::json::array left;
    for (const auto& view : operations_.overview().listeners)
        if (view.draining) left.emplace_back(view.name);
    boost::json::object answer{{"ok", true}};
    if (!left.empty()) answer["still_draining"] = std::move(left);
    return json_response(answer);
}

}  // namespace penstock::admin
