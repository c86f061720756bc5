#include "app/client/explain_view.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

std::string route_line(const json::value& answer, const Canvas& canvas) {
    std::string line = "listener " + text_or(answer, "listener", "?");
    if (const auto route = text(answer, "route")) line += " -> route " + *route;
    if (const auto condition = text(answer, "condition")) line += " (" + *condition + ")";
    if (const auto upstream = text(answer, "upstream")) {
        line += " -> upstream " + *upstream;
        if (const auto balance = text(answer, "balance")) line += ", " + *balance;
        if (const auto tls = text(answer, "tls"))
            line += *tls == "terminate" ? ", TLS ends here" : ", TLS passes through";
        return line_of({{line}}, canvas) + '\n';
    }
    return line_of({{line}, {"-> no upstream: the connection is refused", Style::bad}}, canvas) +
           '\n';
}

/// The words after the figures: chosen, excluded and why, and whatever else there is to say.
Cell verdict(const json::value& candidate, bool chosen) {
    const auto note = text_or(candidate, "note", "");
    if (const auto cause = text(candidate, "excluded_by"))
        return {"excluded: " + *cause + (note.empty() ? "" : " (" + note + ")"), Style::warning};
    if (chosen) return {note.empty() ? "chosen" : "chosen, " + note, Style::good};
    return {note};
}

std::string candidates_table(const json::value& answer, const Canvas& canvas) {
    const auto chosen = text(answer, "chosen");
    Table table({{""},
                 {"BACKEND"},
                 {.title = "ADDRESS", .shrinks = true, .optional = true},
                 {.title = "ACTIVE", .align = Align::right, .optional = true},
                 {.title = "WEIGHT", .align = Align::right, .optional = true},
                 {.title = "SCORE", .align = Align::right, .optional = true},
                 {.title = ""}});
    for (const auto& candidate : items(answer, "candidates")) {
        const auto name = text_or(candidate, "backend", "?");
        const bool is_chosen = chosen && *chosen == name;
        const auto score = number(candidate, "score");
        table.add({{is_chosen ? ">" : "", Style::good},
                   {name, is_chosen ? Style::bold : Style::plain},
                   {text_or(candidate, "address", "")},
                   {formatted(candidate, "active", format_figure)},
                   {formatted(candidate, "weight", format_figure)},
                   {score ? fmt::format("{:.1f}", *score) : "-"},
                   verdict(candidate, is_chosen)});
    }
    return table.text(canvas);
}

/// What becomes of the client.
Style style_of(std::string_view outcome) {
    if (outcome == "refused") return Style::bad;
    return outcome.empty() || outcome == "served" ? Style::plain : Style::warning;
}

/// `limits: source 3 of 10, rate 4 of 10/m, ...`; those that are reached stand out.
std::string limits_line(const json::value& answer, const Canvas& canvas) {
    std::vector<Cell> cells{{"limits:"}};
    const auto& limits = items(answer, "limits");
    for (const auto& limit : limits) {
        const double most = number_or(limit, "limit", 0);
        const bool reached = most > 0 && number_or(limit, "used", 0) >= most;
        cells.push_back(
            {fmt::format("{} {} of {}{}", text_or(limit, "name", "?"),
                         formatted(limit, "used", format_figure),
                         text(limit, "rate").value_or(formatted(limit, "limit", format_figure)),
                         &limit == &limits.back() ? "" : ","),
             reached ? Style::bad : Style::plain});
    }
    return limits.empty() ? std::string() : line_of(cells, canvas) + '\n';
}

}  // namespace

std::string explain_view(const json::value& answer, const Canvas& canvas) {
    std::string out = route_line(answer, canvas);
    const bool any = !items(answer, "candidates").empty();
    if (any) out += candidates_table(answer, canvas);
    const bool all_excluded = std::ranges::all_of(
        items(answer, "candidates"),
        [](const json::value& candidate) { return text(candidate, "excluded_by").has_value(); });
    const auto outcome = text_or(answer, "outcome", "");
    if (all_excluded && outcome != "served" && text(answer, "upstream"))
        out += line_of({{any ? "no backend can be chosen now" : "the upstream has no backend",
                         Style::bad}},
                       canvas) +
               '\n';
    for (const auto& source : items(answer, "failing_sources"))
        out += line_of({{word(source).value_or("?"), Style::bad}}, canvas) + '\n';
    if (const auto note = text(answer, "note"))
        out += line_of({{*note, style_of(outcome)}}, canvas) + '\n';
    return out + limits_line(answer, canvas);
}

}  // namespace penstock::app::client
