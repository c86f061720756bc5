#include "app/operations/score.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace penstock::app {

std::optional<double> score_of(config::Balance balance, const admin::BackendView& view,
                               const balancer::Backend& backend, TimePoint now) {
    const double load = static_cast<double>(view.active + 1) / view.effective_weight;
    switch (balance) {
        case config::Balance::least_connections:
            return static_cast<double>(view.active) / view.effective_weight;
        case config::Balance::p2c: return load;
        case config::Balance::least_latency:
            return static_cast<double>(backend.latency().average(now).value_or(0)) * load;
        default: return std::nullopt;
    }
}

std::pair<std::string, std::string> choose(config::Balance balance,
                                           const std::vector<Scored>& candidates,
                                           const std::string& by_policy, bool has_key) {
    if (candidates.empty()) return {};
    if (candidates.size() == 1) return {candidates.front().name, ""};
    using enum config::Balance;
    const auto least = std::ranges::min_element(candidates, {}, &Scored::score);
    switch (balance) {
        case first: return {by_policy, ""};
        case maglev:
        case ring_hash:
            if (has_key) return {by_policy, ""};
            return {"", "the choice follows from the client's address: give a source"};
        case least_connections: return {least->name, ""};
        case p2c:
        case least_latency:
            return {least->name,
                    "two are drawn by weight, the better one wins: this is the best "
                    "of all"};
        case round_robin: return {"", "they take turns, by weight"};
        case random: return {"", "drawn by weight"};
    }
    return {};
}

std::pair<std::string, std::string> exclusion_for(const admin::BackendView& view, Role asked,
                                                  bool available) {
    if (!view.excluded_by.empty()) return {view.excluded_by, view.why};
    if (available && view.circuit.state == balancer::CircuitState::half_open)
        return {"half_open", "half-open: those who try it are on their way"};
    if (available)
        return {"tier", fmt::format("tier {} is a back-up: a lower one serves", view.tier)};
    if (asked != Role::none && !view.check.dispute.empty())
        return {"role", "it " + view.check.dispute};
    if (asked != Role::none && view.check.role != asked)
        return {"role", fmt::format("it is {}, the listener asks for {}",
                                    view.check.role == Role::none ? "of no known role"
                                                                  : name_of(view.check.role),
                                    name_of(asked))};
    return {"unavailable", "it is not available"};
}

}  // namespace penstock::app
