// Who would get a connection now, and why not the others.
#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "app/limits.hpp"
#include "app/operations/score.hpp"
#include "app/operations/service.hpp"
#include "app/operations/words.hpp"
#include "balancer/selector.hpp"
#include "config/names.hpp"
#include "proxy/routing/destination.hpp"
#include "proxy/upstream.hpp"

namespace penstock::app {

using admin::Explanation;

namespace {

// `by chance or in turns: v1 95 %, v2 5 %`.
std::string shares_text(const std::vector<std::pair<std::string, std::uint32_t>>& split) {
    const auto sum =
        std::accumulate(split.begin(), split.end(), 0.0,
                        [](double so_far, const auto& part) { return so_far + part.second; });
    std::string text = "in turns:";
    for (const auto& [upstream, weight] : split)
        text += fmt::format("{} {} {:.3g} %", text.ends_with(':') ? "" : ",", upstream,
                            100 * weight / sum);
    return text;
}

}  // namespace

admin::Outcome<Explanation> Service::explain(const admin::ExplainQuery& query) {
    const auto listener = find_listener(query.listener);
    if (!listener)
        return std::unexpected(
            admin::Refusal{404, fmt::format("there is no listener '{}'", query.listener)});
    const auto& settings = config().listeners[*listener];
    Explanation explanation{.listener = settings.name};
    const auto* access = parts_.server.access(*listener);
    if (query.source && access != nullptr && access->check(*query.source).denied) {
        explanation.note = "the listener's allow and deny lists refuse this source (denied)";
        return explanation;
    }
    explanation.upstream = route_of(settings, *listener, query, explanation);
    if (const auto upstream = find_upstream(explanation.upstream)) {
        explanation.balance = config::name_of(config().upstreams[*upstream].balance);
        add_candidates(*upstream, settings.role, query, explanation);
        const auto& slots = parts_.server.upstreams()[*upstream]->connections;
        if (slots.full())
            explanation.note = fmt::format("the upstream has its {} connections: the client queues",
                                           with_commas(slots.limit()));
        if (pauses_.contains(explanation.upstream))
            explanation.note = "the upstream is paused: new clients are held";
    } else {
        explanation.note = "nobody serves this listener's clients (no_route)";
    }
    add_limits(*listener, query, explanation);
    return explanation;
}

std::string Service::route_of(const config::Listener& listener, std::size_t index,
                              const admin::ExplainQuery& query, Explanation& explanation) const {
    if (listener.split.empty()) {
        explanation.route = "upstream";
        return listener.upstream;
    }
    const auto split = listener_view(index).split;
    if (listener.split_by == config::SplitBy::source_ip && query.source) {
        std::vector<balancer::Split::Part> parts;
        for (const auto& [name, weight] : split) parts.push_back({name, weight});
        Random random(0);
        const auto hash = proxy::source_hash(*query.source, config().process.hash_seed);
        explanation.route = "split by source_ip";
        return split[balancer::Split(parts, random).of_source(*hash)].first;
    }
    const auto most =
        std::ranges::max_element(split, {}, &std::pair<std::string, std::uint32_t>::second);
    explanation.route = listener.split_by == config::SplitBy::source_ip
                            ? "split by source_ip; give a source"
                            : "split " + shares_text(split);
    return most->first;
}

// By a selector of its own, which takes nothing from anybody.
Service::Prospect Service::prospect_of(std::size_t upstream, Role asked,
                                       std::optional<std::uint64_t> key, TimePoint now) const {
    const auto snapshot = parts_.monitors.of(upstream).snapshot();
    balancer::Selector selector(snapshot->set,
                                proxy::selector_options(config().upstreams[upstream]), 0);
    selector.adopt(*snapshot, asked);
    const balancer::Bitmap nobody;
    const auto outlook = selector.look({.tried = nobody, .key = key, .now = now});
    Prospect prospect;
    for (std::uint32_t i = 0; i < snapshot->set->size(); ++i) {
        const auto& backend = snapshot->set->share(i);
        if (outlook.candidates.test(i)) prospect.candidates.emplace(backend->name(), backend);
        if (selector.available(i)) prospect.available.insert(backend->name());
        if (selector.forced(i)) prospect.forced.insert(backend->name());
        if (outlook.choice == i) prospect.choice = backend->name();
    }
    return prospect;
}

void Service::add_candidates(std::size_t upstream, Role asked, const admin::ExplainQuery& query,
                             Explanation& explanation) const {
    const auto& settings = config().upstreams[upstream];
    const TimePoint now = SteadyClock().now();
    std::optional<std::uint64_t> key;
    if (query.source)
        key = proxy::key_hasher(settings, config().process.hash_seed).hash(*query.source);
    const Prospect prospect = prospect_of(upstream, asked, key, now);
    std::vector<Scored> scored;
    for (const auto& view : upstream_view(upstream, now).backends) {
        Explanation::Candidate candidate{.backend = view.name,
                                         .address = view.address,
                                         .active = view.active,
                                         .weight = view.effective_weight};
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
}

void Service::add_limits(std::size_t listener, const admin::ExplainQuery& query,
                         Explanation& explanation) const {
    const auto& settings = config().listeners[listener];
    auto& gate = parts_.server.listeners()[listener]->gate;
    auto& shared = parts_.server.shared();
    if (settings.max_connections_per_source != 0 && query.source)
        explanation.limits.push_back({"max_connections_per_source",
                                      gate.connections_of(*query.source).value_or(0),
                                      settings.max_connections_per_source});
    if (settings.max_connections != 0)
        explanation.limits.push_back(
            {"max_connections", gate.connections().used(), settings.max_connections});
    explanation.limits.push_back(
        {"process.max_connections", shared.connections.used(), shared.connections.limit()});
    const auto upstream = find_upstream(explanation.upstream);
    if (!upstream) return;
    const auto& up = config().upstreams[*upstream];
    if (up.max_connections != 0)
        explanation.limits.push_back({"upstream.max_connections",
                                      parts_.server.upstreams()[*upstream]->connections.used(),
                                      up.max_connections});
}

}  // namespace penstock::app
