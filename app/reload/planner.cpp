#include "app/reload/planner.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "app/find_named.hpp"
#include "config/diff.hpp"
#include "config/effect.hpp"
#include "config/leads_to.hpp"
#include "config/names.hpp"
#include "config/value.hpp"

namespace penstock::app {

using admin::PlannedChange;
using Sessions = LiveState::Sessions;

Sessions& Sessions::operator+=(const Sessions& other) noexcept {
    all += other.all;
    old += other.old;
    out_of_reach += other.out_of_reach;
    return *this;
}

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
        for (const auto& gone : gone_listeners_) count(gone);
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
        else if (change.key == "split" && change.what == "listener " + change.listener)
            end_split(change.listener, planned);
        else if (change.what == "process" && change.key == "hash_seed")
            describe_seed(planned);
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
            drain_backend(name, *settings, planned);
        if (change.key == "state" || change.key == "weight") end_override(name, change, planned);
        const auto keys = moved_keys(change.upstream);
        if (keys.empty()) return;
        planned.balance = config::name_of(settings->balance);
        // Whoever takes over keys gets them at once.
        const bool says_less = change.op == config::ChangeOp::add && starts_at_once(*settings);
        planned.effect = says_less ? keys : join(planned.effect, keys);
    }

    void drain_backend(const BackendName& name, const config::Upstream& upstream,
                       PlannedChange& planned) {
        const auto sessions = sessions_of(name);
        end_sessions(sessions, {&upstream}, planned);
        count(name.upstream, sessions.all, upstream.drain);
    }

    // Told once for each upstream; "" = it has been told, or none move.
    std::string moved_keys(const std::string& upstream) {
        const auto moved = live_.moved.find(upstream);
        if (moved == live_.moved.end() || !told_moves_.insert(upstream).second) return {};
        return fmt::format("{:.1f} % of keys move", 100 * moved->second);
    }

    // Another seed is another table for every upstream that hashes.
    void describe_seed(PlannedChange& planned) {
        for (const auto& [upstream, share] : live_.moved)
            if (const auto keys = moved_keys(upstream); !keys.empty())
                planned.effect =
                    join(planned.effect, fmt::format("upstream {}: {}", upstream, keys));
    }

    static bool starts_at_once(const config::Upstream& upstream) {
        return upstream.slow_start.window == Duration{};
    }

    static std::string slow_start_text(const config::Upstream& upstream) {
        if (starts_at_once(upstream)) return "gets clients at once";
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

    void end_split(const std::string& listener, PlannedChange& planned) const {
        const auto kept = live_.splits.find(listener);
        const auto* running = find_named(running_.listeners, listener);
        if (kept == live_.splits.end() || running == nullptr) return;
        std::string weights;
        for (std::size_t i = 0; i < std::min(kept->second.size(), running->split.size()); ++i)
            weights += fmt::format(" {}={}", running->split[i].upstream, kept->second[i]);
        planned.effect = join(planned.effect, "ends the override" + weights);
    }

    // What is only a part of them, as a source of backends, has a name behind theirs.
    void describe_removal(const config::Change& change, PlannedChange& planned) {
        if (change.what == "upstream " + change.upstream) {
            const auto* before = find_named(running_.upstreams, change.upstream);
            if (before == nullptr) return;
            const auto sessions = sessions_of(change.upstream);
            end_sessions(sessions, {before}, planned);
            count(change.upstream, sessions.all, before->drain);
        } else if (change.what == "listener " + change.listener) {
            const auto* before = find_named(running_.listeners, change.listener);
            if (before == nullptr) return;
            const auto found = live_.listeners.find(change.listener);
            const auto upstreams = upstreams_of(*before);
            const auto sessions = found == live_.listeners.end() ? Sessions() : found->second;
            end_sessions(sessions, upstreams, planned);
            if (!upstreams.empty()) gone_listeners_.push_back({sessions.all, upstreams});
        }
    }

    // All that its clients may come to.
    [[nodiscard]] std::vector<const config::Upstream*> upstreams_of(
        const config::Listener& listener) const {
        std::set<std::string> names;
        for (const auto& destination : config::destinations(listener))
            names.emplace(destination.upstream);
        std::vector<const config::Upstream*> found;
        for (const auto& name : names)
            if (const auto* upstream = find_named(running_.upstreams, name))
                found.push_back(upstream);
        return found;
    }

    static void end_sessions(const Sessions& sessions,
                             const std::vector<const config::Upstream*>& at,
                             PlannedChange& planned) {
        planned.sessions = sessions.all;
        const bool as_one = std::ranges::all_of(
            at, [&](const auto* upstream) { return upstream->drain == at.front()->drain; });
        if (sessions.all == 0 || at.empty())
            planned.effect = "no sessions";
        else if (!as_one)
            planned.effect = "drain as their upstreams say";
        else
            planned.effect =
                ends_at_once(at.front()->drain) ? "end at once" : drain_text(at.front()->drain);
        if (sessions.old != 0)
            planned.effect =
                join(planned.effect, fmt::format("{} of them in old processes", sessions.old));
        if (sessions.out_of_reach != 0)
            planned.effect = join(
                planned.effect,
                fmt::format("{} in old processes that cannot be told stay", sessions.out_of_reach));
    }

    void count(const std::string& upstream, std::uint64_t sessions, const config::Drain& drain) {
        counted_[upstream] += sessions;
        (ends_at_once(drain) ? plan_.closed_now : plan_.draining) += sessions;
    }

    struct GoneListener {
        std::uint64_t sessions;
        std::vector<const config::Upstream*> upstreams;
    };

    // Sessions of a listener that leaves may be at backends that leave as well: what is counted
    // with those leaves no more than the upstream has.
    void count(const GoneListener& gone) {
        std::uint64_t left = gone.sessions;
        const bool any_counted = std::ranges::any_of(
            gone.upstreams, [&](const auto* upstream) { return counted_[upstream->name] != 0; });
        if (!any_counted) return count(gone.upstreams.front()->name, left, slowest(gone.upstreams));
        for (const auto* upstream : gone.upstreams) {
            const std::uint64_t all = sessions_of(upstream->name).all;
            const std::uint64_t room = all - std::min(all, counted_[upstream->name]);
            const std::uint64_t here = std::min(left, room);
            count(upstream->name, here, upstream->drain);
            left -= here;
        }
    }

    // Who of them goes where is not known here.
    static config::Drain slowest(const std::vector<const config::Upstream*>& upstreams) {
        const auto slow = std::ranges::find_if(
            upstreams, [](const auto* upstream) { return !ends_at_once(upstream->drain); });
        return slow == upstreams.end() ? upstreams.front()->drain : (*slow)->drain;
    }

    static bool ends_at_once(const config::Drain& drain) {
        return drain.wait == Duration{} && drain.close_over == Duration{};
    }

    [[nodiscard]] Sessions sessions_of(const BackendName& name) const {
        Sessions sum;
        for (const auto& [other, count] : live_.backends)
            if (is_of(other, name)) sum += count;
        return sum;
    }

    [[nodiscard]] Sessions sessions_of(const std::string& upstream) const {
        Sessions sum;
        for (const auto& [name, count] : live_.backends)
            if (name.upstream == upstream) sum += count;
        return sum;
    }

    // A host name stands for several.
    static bool is_of(const BackendName& one, const BackendName& listed) {
        return one.upstream == listed.upstream && is_of_listed(one.backend, listed.backend);
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
    std::map<std::string, std::uint64_t> counted_;  // sessions that leave, by upstream
    std::vector<GoneListener> gone_listeners_;
    std::set<std::string> touched_;  // upstreams
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
