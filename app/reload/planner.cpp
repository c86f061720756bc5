#include "app/reload/planner.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "app/find_named.hpp"
#include "config/diff.hpp"
#include "config/effect.hpp"
#include "config/names.hpp"
#include "config/value.hpp"

namespace penstock::app {

using admin::PlannedChange;

namespace {

// `drain: wait 5m, then over 30s`; the number of sessions comes before it.
std::string drain_text(const config::Drain& drain) {
    if (drain.wait == never) return "drain: until they end by themselves";
    return fmt::format("drain: wait {}, then over {}", config::format_duration(drain.wait),
                       config::format_duration(drain.close_over));
}

class Planner {
public:
    Planner(const config::Config& running, const config::Config& wanted, const LiveState& live)
        : running_(running), wanted_(wanted), live_(live) {}

    admin::Plan make() {
        for (const auto& change : config::diff(running_, wanted_)) add(change);
        add_kept_overrides();
        if (!plan_.changes.empty()) plan_.digest = config::digest(running_, wanted_);
        return std::move(plan_);
    }

private:
    void add(const config::Change& change) {
        PlannedChange planned{.op = op_of(change),
                              .what = change.what,
                              .key = change.key,
                              .from = change.from,
                              .to = change.to,
                              .effect = std::string(config::to_string(change.effect))};
        if (!change.upstream.empty()) touched_.insert(change.upstream);
        if (!change.backend.empty())
            describe_backend(change, planned);
        else if (change.op == config::ChangeOp::remove && change.key.empty())
            describe_removal(change, planned);
        plan_.changes.push_back(std::move(planned));
    }

    static PlannedChange::Op op_of(const config::Change& change) {
        if (change.effect == config::Effect::restart) return PlannedChange::Op::restart;
        switch (change.op) {
            case config::ChangeOp::add: return PlannedChange::Op::add;
            case config::ChangeOp::remove: return PlannedChange::Op::remove;
            case config::ChangeOp::change: break;
        }
        return PlannedChange::Op::change;
    }

    void describe_backend(const config::Change& change, PlannedChange& planned) {
        const BackendName name{change.upstream, change.backend};
        const auto* settings = find_named(wanted_.upstreams, change.upstream);
        if (settings == nullptr) return;
        const bool leaves = change.key == "state" && change.to != "ready";
        if (change.key.empty() && change.op == config::ChangeOp::add)
            planned.effect = slow_start_text(*settings);
        else if (change.key.empty() || change.key == "address" || leaves)
            end_sessions(sessions_of(name), settings->drain, planned);
        if (change.key == "state" || change.key == "weight") end_override(name, change, planned);
        if (const auto moved = live_.moved.find(change.upstream);
            moved != live_.moved.end() && told_moves_.insert(change.upstream).second)
            planned.effect =
                join(planned.effect, fmt::format("{:.1f} % of keys move", 100 * moved->second));
    }

    static std::string slow_start_text(const config::Upstream& upstream) {
        if (upstream.slow_start.window == Duration{}) return "gets clients at once";
        return fmt::format("slow start {}", config::format_duration(upstream.slow_start.window));
    }

    // The file has the last word on what it changes.
    void end_override(const BackendName& name, const config::Change& change,
                      PlannedChange& planned) const {
        const auto kept = std::ranges::find_if(
            live_.overrides, [&](const auto& entry) { return is_of(entry.first, name); });
        if (kept == live_.overrides.end()) return;
        std::string value;
        if (change.key == "state" && kept->second.state)
            value = config::name_of(*kept->second.state);
        if (change.key == "weight" && kept->second.weight)
            value = fmt::to_string(*kept->second.weight);
        if (!value.empty())
            planned.effect = join(planned.effect, fmt::format("ends the override {}", value));
    }

    void describe_removal(const config::Change& change, PlannedChange& planned) {
        if (!change.upstream.empty()) {
            const auto* before = find_named(running_.upstreams, change.upstream);
            if (before == nullptr) return;
            std::uint64_t sessions = 0;
            for (const auto& [name, count] : live_.backends)
                if (name.upstream == change.upstream) sessions += count;
            end_sessions(sessions, before->drain, planned);
        } else if (!change.listener.empty()) {
            const auto* before = find_named(running_.listeners, change.listener);
            if (before == nullptr) return;
            const std::string& first =
                before->split.empty() ? before->upstream : before->split.front().upstream;
            const auto* upstream = find_named(running_.upstreams, first);
            const auto found = live_.listeners.find(change.listener);
            if (upstream == nullptr) return;
            end_sessions(found == live_.listeners.end() ? 0 : found->second, upstream->drain,
                         planned);
            // They count once, with their upstream, where that leaves as well.
            if (find_named(wanted_.upstreams, first) == nullptr) take_back(planned, *upstream);
        }
    }

    void end_sessions(std::uint64_t sessions, const config::Drain& drain, PlannedChange& planned) {
        planned.sessions = sessions;
        const bool at_once = ends_at_once(drain);
        (at_once ? plan_.closed_now : plan_.draining) += sessions;
        if (sessions == 0)
            planned.effect = "no sessions";
        else
            planned.effect = at_once ? "end at once" : drain_text(drain);
    }

    void take_back(const PlannedChange& planned, const config::Upstream& upstream) {
        (ends_at_once(upstream.drain) ? plan_.closed_now : plan_.draining) -= planned.sessions;
    }

    static bool ends_at_once(const config::Drain& drain) {
        return drain.wait == Duration{} && drain.close_over == Duration{};
    }

    [[nodiscard]] std::uint64_t sessions_of(const BackendName& name) const {
        std::uint64_t sum = 0;
        for (const auto& [other, count] : live_.backends)
            if (is_of(other, name)) sum += count;
        return sum;
    }

    // A host name stands for several.
    static bool is_of(const BackendName& one, const BackendName& listed) {
        return one.upstream == listed.upstream &&
               (one.backend == listed.backend || one.backend.starts_with(listed.backend + "@"));
    }

    // Of upstreams that the change touches: where they do not go by the file, and go on so.
    void add_kept_overrides() {
        for (const auto& [name, kept] : live_.overrides) {
            const auto* before = find_named(running_.upstreams, name.upstream);
            const auto* after = find_named(wanted_.upstreams, name.upstream);
            if (before == nullptr || after == nullptr || !touched_.contains(name.upstream))
                continue;
            const auto* was = find_named(before->backends, name.backend);
            const auto* is = find_named(after->backends, name.backend);
            if (was == nullptr || is == nullptr) continue;
            const std::string what =
                fmt::format("upstream {} backend {}", name.upstream, name.backend);
            if (kept.weight && was->weight == is->weight)
                plan_.changes.push_back({.op = PlannedChange::Op::kept_override,
                                         .what = what,
                                         .key = "weight",
                                         .from = fmt::to_string(is->weight),
                                         .to = fmt::to_string(*kept.weight)});
            if (kept.state && was->state == is->state)
                plan_.changes.push_back({.op = PlannedChange::Op::kept_override,
                                         .what = what,
                                         .key = "state",
                                         .from = std::string(config::name_of(is->state)),
                                         .to = std::string(config::name_of(*kept.state))});
        }
    }

    static std::string join(const std::string& one, const std::string& other) {
        return one.empty() ? other : one + ", " + other;
    }

    const config::Config& running_;
    const config::Config& wanted_;
    const LiveState& live_;
    admin::Plan plan_;
    std::set<std::string> touched_;     // upstreams
    std::set<std::string> told_moves_;  // upstreams
};

}  // namespace

admin::Plan make_plan(const config::Config& running, const config::Config& wanted,
                      const LiveState& live) {
    return Planner(running, wanted, live).make();
}

std::string in_words(const PlannedChange& change) {
    using Op = PlannedChange::Op;
    std::string text = change.what;
    if (!change.key.empty()) text += " " + change.key;
    switch (change.op) {
        case Op::add: text = "+ " + text; break;
        case Op::remove: text = "- " + text; break;
        case Op::change: text = "~ " + text; break;
        default: text = "! " + text;
    }
    if (!change.from.empty() && !change.to.empty())
        text += fmt::format(": {} -> {}", change.from, change.to);
    else if (!change.from.empty() || !change.to.empty())
        text += fmt::format(": {}", change.from.empty() ? change.to : change.from);
    if (!change.effect.empty()) text += "; " + change.effect;
    return text;
}

}  // namespace penstock::app
