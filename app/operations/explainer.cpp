#include "app/operations/explainer.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/find_named.hpp"
#include "app/operations/prospect.hpp"
#include "app/operations/score.hpp"
#include "app/operations/words.hpp"
#include "app/refusals.hpp"
#include "config/names.hpp"
#include "config/quantity.hpp"
#include "proxy/routing/destination.hpp"
#include "proxy/routing/route_table.hpp"
#include "proxy/upstream.hpp"

namespace penstock::app {

using admin::Explanation;

namespace {

// `in turns: v1 95 %, v2 5 %`.
std::string shares_text(const Explainer::Shares& split) {
    const auto sum =
        std::accumulate(split.begin(), split.end(), 0.0,
                        [](double so_far, const auto& part) { return so_far + part.second; });
    std::string text = "in turns:";
    for (const auto& [upstream, weight] : split)
        text += fmt::format("{} {} {:.3g} %", text.ends_with(':') ? "" : ",", upstream,
                            100 * weight / sum);
    return text;
}

// `sni a.example or none, alpn h2, source`.
std::string conditions_of(const config::Route& route) {
    std::vector<std::string> all;
    std::vector<std::string_view> names;
    for (const std::string_view name : route.sni) names.push_back(name.empty() ? "none" : name);
    if (!names.empty()) all.push_back(fmt::format("sni {}", fmt::join(names, " or ")));
    if (!route.alpn.empty()) all.push_back(fmt::format("alpn {}", fmt::join(route.alpn, " or ")));
    if (!route.source.empty()) all.emplace_back("source");
    if (route.starttls != config::StartTls::none) all.emplace_back("starttls");
    return fmt::format("{}", fmt::join(all, ", "));
}

}  // namespace

admin::Outcome<Explanation> Explainer::explain(const admin::ExplainQuery& query) const {
    const auto listener = index_of_named(config().listeners, query.listener);
    if (!listener) return no_listener(query.listener);
    Explanation explanation{.listener = config().listeners[*listener].name};
    const CloseReason refused = verdict_at(*listener, query);
    Fate fate =
        fate_at_listener(refused, config().listeners[*listener].on_limit == config::OnLimit::wait);
    const auto end = [&explanation, &fate] {
        explanation.outcome = fate.outcome;
        if (fate.outcome == "served") return explanation;
        // Whom it would be, had it come so far, is no answer to who gets it.
        explanation.chosen.clear();
        explanation.note = fate.text;
        return explanation;
    };
    if (refused == CloseReason::denied) return end();
    const Role role = find_route(*listener, query, explanation);
    if (const auto upstream = index_of_named(config().upstreams, explanation.upstream)) {
        explanation.balance = config::name_of(config().upstreams[*upstream].balance);
        const Fate behind = add_candidates(*upstream, role, query, explanation);
        if (fate.outcome == "served") fate = behind;
    } else if (fate.outcome == "served") {
        fate = {"refused", "nobody serves this listener's clients (no_route)"};
    }
    add_limits(*listener, query, explanation);
    return end();
}

CloseReason Explainer::verdict_at(std::size_t listener, const admin::ExplainQuery& query) const {
    auto& shared = server_.shared();
    if (shared.memory.overload()) return CloseReason::overload;
    return server_.listeners()[listener]->gate.verdict(query.source ? &*query.source : nullptr,
                                                       server_.access(listener),
                                                       SteadyClock().now(), shared.connections);
}

// As a worker would, but for what only a connection has.
Role Explainer::find_route(std::size_t index, const admin::ExplainQuery& query,
                           Explanation& explanation) const {
    const auto& listener = config().listeners[index];
    const CompactEndpoint client = query.source.value_or(CompactEndpoint{});
    const proxy::RouteTable table(listener);
    const auto match =
        table.find({.client = client, .server_name = query.server_name, .alpn = query.alpn});
    using enum proxy::RouteTable::Match::Kind;
    bool terminates = listener.tls.has_value();
    Role role = listener.role;
    if (match.kind == name) {
        explanation.route = listener.sni[match.index].name;
        explanation.condition = "sni";
        explanation.upstream = listener.sni[match.index].upstream;
    } else if (match.kind == route) {
        const auto& found = listener.routes[match.index];
        explanation.route = fmt::to_string(match.index + 1);
        explanation.condition = conditions_of(found);
        terminates = terminates && found.tls != config::RouteTls::passthrough;
        if (found.role != Role::none) role = found.role;
        explanation.upstream = found.upstream;
        Shares split;
        for (const auto& part : found.split) split.emplace_back(part.upstream, part.weight);
        if (!split.empty()) choose_share(listener, split, query, explanation);
    } else {
        explanation.route = "upstream";
        explanation.upstream = listener.upstream;
        if (!listener.split.empty())
            choose_share(listener, questions_.split(index), query, explanation);
    }
    if (terminates || table.needs_hello())
        explanation.tls = terminates ? "terminate" : "passthrough";
    return role;
}

void Explainer::choose_share(const config::Listener& listener, const Shares& split,
                             const admin::ExplainQuery& query, Explanation& explanation) const {
    std::string text = "split by source_ip; give a source";
    const auto most =
        std::ranges::max_element(split, {}, &std::pair<std::string, std::uint32_t>::second);
    explanation.upstream = most->first;
    if (listener.split_by != config::SplitBy::source_ip) {
        text = "split " + shares_text(split);
    } else if (query.source) {
        std::vector<balancer::Split::Part> parts;
        for (const auto& [name, weight] : split) parts.push_back({name, weight});
        Random random(0);
        const auto hash = proxy::source_hash(*query.source, config().process.hash_seed);
        explanation.upstream = split[balancer::Split(parts, random).of_source(*hash)].first;
        text = "split by source_ip";
    }
    if (explanation.route == "upstream")
        explanation.route = text;
    else
        explanation.condition += (explanation.condition.empty() ? "" : "; ") + text;
}

Fate Explainer::add_candidates(std::size_t upstream, Role asked, const admin::ExplainQuery& query,
                               Explanation& explanation) const {
    const auto& settings = config().upstreams[upstream];
    const TimePoint now = SteadyClock().now();
    const auto key = proxy::key_hasher(settings, config().process.hash_seed)
                         .hash(query.source.value_or(CompactEndpoint{}), query.server_name);
    const Prospect prospect = prospect_of(monitors_.of(upstream), settings, asked, key, now);
    for (const auto& source : monitors_.of(upstream).discovery().sources())
        if (!source.last_error.empty())
            explanation.failing_sources.push_back(source.what + ": " + source.last_error);
    std::vector<Scored> scored;
    bool warm = false;  // a connection that is ready, or that gives way
    const auto shown = questions_.upstream(upstream, now);
    for (const auto& view : shown.backends) {
        Explanation::Candidate candidate{.backend = view.name,
                                         .address = view.address,
                                         .active = view.active,
                                         .weight = view.effective_weight};
        warm = warm || (view.warm > 0 && prospect.available.contains(view.name));
        if (const auto* backend = prospect.candidate(view.name)) {
            candidate.score = score_of(settings.balance, view, *backend, now);
            scored.push_back({view.name, candidate.score, view.effective_weight});
            if (view.slow_start_s_left)
                candidate.note = fmt::format("slow start, {:.0f}s left", *view.slow_start_s_left);
            if (prospect.forced.contains(view.name))
                candidate.note = "used because of panic: " + ailment_of(view);
        } else {
            std::tie(candidate.excluded_by, candidate.note) =
                exclusion_for(view, asked, prospect.available.contains(view.name));
        }
        explanation.candidates.push_back(std::move(candidate));
    }
    std::tie(explanation.chosen, explanation.note) =
        choose(settings.balance, scored, prospect.choice, key.has_value());
    if (scored.empty() && warm) explanation.note = "a warm connection is there for the client";
    auto& shared = *server_.upstreams()[upstream];
    return fate_at_upstream(
        {.upstream = settings,
         .paused = shown.paused,
         .any_available = !prospect.available.empty(),
         .any_room = warm || !scored.empty(),
         .connections = shared.connections.full() && !warm ? shared.connections.limit() : 0,
         .queued = shared.line(asked).waiting(),
         .held = shared.held.used()});
}

void Explainer::add_limits(std::size_t listener, const admin::ExplainQuery& query,
                           Explanation& explanation) const {
    const auto& settings = config().listeners[listener];
    auto& gate = server_.listeners()[listener]->gate;
    auto& shared = server_.shared();
    const TimePoint now = SteadyClock().now();
    const auto add_rate = [&](std::string name, const config::Rate& rate,
                              const std::optional<std::uint64_t>& used) {
        if (used)
            explanation.limits.push_back({std::move(name), *used,
                                          rate.burst != 0 ? rate.burst : rate.amount,
                                          config::format_rate(rate)});
    };
    if (settings.max_connections_per_source != 0 && query.source)
        explanation.limits.push_back({"max_connections_per_source",
                                      gate.connections_of(*query.source).value_or(0),
                                      settings.max_connections_per_source});
    if (query.source)
        add_rate("accept_rate_per_source", settings.accept_rate_per_source,
                 gate.rate_used_by(*query.source, now));
    add_rate("accept_rate", settings.accept_rate, gate.rate_used(now));
    if (settings.max_connections != 0)
        explanation.limits.push_back(
            {"max_connections", gate.connections().used(), settings.max_connections});
    explanation.limits.push_back(
        {"process.max_connections", shared.connections.used(), shared.connections.limit()});
    const auto upstream = index_of_named(config().upstreams, explanation.upstream);
    if (!upstream) return;
    const auto& up = config().upstreams[*upstream];
    if (up.max_connections != 0)
        explanation.limits.push_back({"upstream.max_connections",
                                      server_.upstreams()[*upstream]->connections.used(),
                                      up.max_connections});
}

}  // namespace penstock::app
