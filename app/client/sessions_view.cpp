#include "app/client/sessions_view.hpp"

#include <fmt/format.h>

#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

/// `web/a`; `-` before an upstream was chosen.
std::string backend_of(const json::value& session) {
    const auto upstream = text(session, "upstream");
    const auto backend = text(session, "backend");
    if (!upstream) return "-";
    return backend ? *upstream + "/" + *backend : *upstream;
}

Style style_of_class(std::string_view in_class) {
    if (in_class == "backend" || in_class == "proxy") return Style::bad;
    if (in_class == "policy" || in_class == "client") return Style::warning;
    return Style::plain;
}

/// What explains the end: the error, or how the attempts failed.
std::string explanation(const json::value& close) {
    std::string out = text_or(close, "detail", "");
    for (const auto& attempt : items(close, "attempts")) {
        const auto error = text(attempt, "error");
        if (!error) continue;
        out += (out.empty() ? "" : ", ") + text_or(attempt, "backend", "?") + ": " + *error;
    }
    return out;
}

/// The worker of a process from before an upgrade, `old-4600`; nothing of a worker with a number.
std::string old_process_of(const json::value& session) {
    return field(session, "worker").is_string() ? text_or(session, "worker", "") : "";
}

}  // namespace

std::string sessions_view(const json::value& sessions, std::size_t asked_for,
                          const Canvas& canvas) {
    if (items(sessions).empty()) return "no sessions\n";
    Table table({{"ID"},
                 {"LISTENER"},
                 {.title = "CLIENT", .shrinks = true},
                 {.title = "BACKEND", .shrinks = true},
                 {"STATE"},
                 {"AGE", Align::right},
                 {"IDLE", Align::right},
                 {"IN", Align::right},
                 {"OUT", Align::right},
                 {.title = "PROCESS", .optional = true},
                 {.title = "SNI", .shrinks = true, .optional = true}});
    for (const auto& session : items(sessions)) {
        const auto state = text_or(session, "state", "?");
        const bool settled = state == "relaying" || state == "half_closed";
        table.add({{text_or(session, "id", "?")},
                   {text_or(session, "listener", "-")},
                   {text_or(session, "client", "-")},
                   {backend_of(session)},
                   {state, settled ? Style::plain : Style::warning},
                   {formatted(session, "age_s", format_seconds)},
                   {formatted(session, "idle_s", format_seconds)},
                   {formatted(session, "bytes.to_backend", format_bytes)},
                   {formatted(session, "bytes.to_client", format_bytes)},
                   {old_process_of(session)},
                   {text_or(session, "sni", "")}});
    }
    const std::size_t shown = items(sessions).size();
    return table.text(canvas) + counted(static_cast<double>(shown), "session") +
           (shown >= asked_for ? ", and maybe more: --limit\n" : "\n");
}

std::string closes_view(const json::value& closes, const Canvas& canvas) {
    if (items(closes).empty()) return "no closed connections\n";
    Table table({{"ACCEPTED (UTC)"},
                 {"LISTENER"},
                 {.title = "CLIENT", .shrinks = true},
                 {.title = "BACKEND", .shrinks = true},
                 {"REASON"},
                 {"LASTED", Align::right},
                 {"IN", Align::right},
                 {"OUT", Align::right},
                 {.title = "DETAIL", .shrinks = true, .optional = true}});
    for (const auto& close : items(closes)) {
        const auto lasted = number(close, "duration_ms");
        table.add({{date_and_time(text_or(close, "time", "-"))},
                   {text_or(close, "listener", "-")},
                   {text_or(close, "client", "-")},
                   {backend_of(close)},
                   {text_or(close, "reason", "?"), style_of_class(text_or(close, "class", ""))},
                   {lasted ? format_seconds(*lasted / 1000) : "-"},
                   {formatted(close, "bytes_to_backend", format_bytes)},
                   {formatted(close, "bytes_to_client", format_bytes)},
                   {explanation(close)}});
    }
    return table.text(canvas);
}

}  // namespace penstock::app::client
