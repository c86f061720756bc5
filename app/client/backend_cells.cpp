#include "app/client/backend_cells.hpp"

#include <cmath>

#include <boost/json/object.hpp>
#include <fmt/format.h>

#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

/// ` (uid 1000)`: who set what is overridden, if the proxy tells.
std::string by_whom(const json::value& backend) {
    const auto who = text(backend, "override.by");
    return who ? fmt::format(" ({})", *who) : std::string();
}

Cell circuit_state(const json::value& backend, std::string_view state) {
    if (state == "half_open") return {"half-open", Style::warning};
    const auto left = number(backend, "circuit.retry_in_s");
    return {left ? "OPEN " + format_seconds(std::ceil(*left)) : std::string("OPEN"), Style::bad};
}

}  // namespace

Cell backend_state(const json::value& backend) {
    const auto state = text_or(backend, "state", "ready");
    if (state != "ready") return {state + by_whom(backend), Style::warning};
    if (const auto circuit = text(backend, "circuit.state"); circuit && *circuit != "closed")
        return circuit_state(backend, *circuit);
    const auto check = text_or(backend, "check.state", "unknown");
    if (check == "down") return {"down", Style::bad};
    if (const auto cause = text(backend, "excluded_by")) return {*cause, Style::warning};
    if (const auto left = number(backend, "slow_start_s_left"); left && *left > 0)
        return {"up, slow start " + format_seconds(*left), Style::good};
    // Without a check nobody knows better than that it may be chosen.
    if (check == "up") return {"up", Style::good};
    const auto* available = field(backend, "available").if_bool();
    if (available != nullptr && !*available) return {"not available", Style::bad};
    return {"ready", Style::plain};
}

Cell upstream_state(const json::value& upstream) {
    const auto total = static_cast<double>(items(upstream, "backends").size());
    const auto available = number(upstream, "available");
    // In panic clients get backends that are not well, too.
    std::string words =
        available ? fmt::format("{} of {} {}", format_figure(*available), format_figure(total),
                                flag(upstream, "panic") ? "tried" : "up")
                  : counted(total, "backend");
    if (flag(upstream, "paused")) {
        const auto left = number(upstream, "pause_s_left");
        words = (left ? "paused " + format_seconds(*left) : std::string("paused")) + ", " + words;
    }
    if (flag(upstream, "role_conflict")) words = "ROLE CONFLICT, " + words;
    if (flag(upstream, "panic")) return {"PANIC, " + words, Style::bad};
    if (flag(upstream, "role_conflict")) return {words, Style::bad};
    if (available && *available == 0) return {words, Style::bad};
    if (flag(upstream, "paused") || (available && *available < total))
        return {words, Style::warning};
    return {words, Style::good};
}

std::string active_of_limit(const json::value& owner) {
    const auto active = formatted(owner, "connections.active", format_figure);
    const double limit = number_or(owner, "connections.limit", 0);
    return limit == 0 ? active : active + "/" + format_figure(limit);
}

double sum_of(const json::value& counters) noexcept {
    const auto* object = counters.if_object();
    if (object == nullptr) return 0;
    double sum = 0;
    for (const auto& [name, value] : *object) sum += number_or(value, "", 0);
    return sum;
}

std::string counts(const json::value& object) {
    std::string out;
    if (const auto* members = object.if_object())
        for (const auto& [name, value] : *members)
            out += fmt::format("{}{} {}", out.empty() ? "" : ", ", sanitised(name),
                               word(value).value_or("?"));
    return out;
}

std::string upstream_title(const json::value& upstream) {
    const auto name = text_or(upstream, "name", "?");
    const auto balance = text(upstream, "balance");
    return balance ? name + " " + *balance : name;
}

}  // namespace penstock::app::client
