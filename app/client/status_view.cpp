#include "app/client/status_view.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "app/client/attention.hpp"
#include "app/client/backend_cells.hpp"
#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

std::string first_line(const json::value& status, const Canvas& canvas) {
    const auto state = text_or(status, "state", "running");
    const auto cause = text(status, "connections.limit_cause");
    return line_of({{"penstock " + text_or(status, "version", "?"), Style::bold},
                    {" pid " + plain_number(status, "pid")},
                    {" " + state, state == "running" ? Style::good : Style::warning},
                    {" up " + formatted(status, "uptime_s", format_seconds)},
                    {"  " + connections_of_limit(status)},
                    {cause ? "(" + *cause + ")" : "", Style::dim}},
                   canvas);
}

std::string workers_line(const json::value& status, const Canvas& canvas) {
    Table table(
        {{"WORKER"}, {"CONNECTIONS", Align::right}, {"BUSY", Align::right}, {"LAG", Align::right}});
    for (const auto& worker : items(status, "workers"))
        table.add({{text_or(worker, "id", "?")},
                   {formatted(worker, "connections", format_figure)},
                   {formatted(worker, "busy", format_share)},
                   flag(worker, "stuck") ? Cell{"STUCK", Style::bad}
                                         : Cell{formatted(worker, "lag_ms", format_milliseconds)}});
    return table.empty() ? std::string() : "\n" + table.text(canvas);
}

/// When the configuration came into force, and what somebody has to look after.
std::string below_first_line(const json::value& snapshot, const Canvas& canvas) {
    std::string out;
    const auto& reload = field(snapshot, "status.last_reload");
    if (flag(reload, "ok"))
        out = line_of(
                  {{"configuration of " + date_and_time(text_or(reload, "time", "?")), Style::dim}},
                  canvas) +
              '\n';
    for (const auto& [what, details] : concerns_of(snapshot)) {
        out += line_of({what}, canvas) + '\n';
        for (const auto& detail : details)
            out += line_of({{"  " + detail, what.style}}, canvas) + '\n';
    }
    return out;
}

/// `web`, or the weights of a split: `v1 95, v2 5`.
Cell upstream_of(const json::value& listener) {
    const auto weights = counts(field(listener, "split"));
    if (weights.empty()) return {text_or(listener, "upstream", "-")};
    const auto who = text(listener, "split_override");
    return {who ? weights + " (" + *who + ")" : weights, who ? Style::warning : Style::plain};
}

std::string listeners_table(const json::value& listeners, const Canvas& canvas) {
    Table table({{"LISTENER"},
                 {.title = "BIND", .shrinks = true},
                 {.title = "UPSTREAM", .shrinks = true},
                 {"ACTIVE/MAX", Align::right},
                 {"TOTAL", Align::right},
                 {"REFUSED", Align::right},
                 {"NEW/s", Align::right},
                 {"IN", Align::right},
                 {"OUT", Align::right},
                 {.title = "STATE", .optional = true}});
    for (const auto& listener : items(listeners)) {
        const bool refused = number_or(listener, "connections.refused", 0) > 0;
        table.add({{text_or(listener, "name", "?"), Style::bold},
                   {joined(items(listener, "bind"))},
                   upstream_of(listener),
                   {active_of_limit(listener)},
                   {formatted(listener, "connections.total", format_figure)},
                   {formatted(listener, "connections.refused", format_figure),
                    refused ? Style::warning : Style::plain},
                   {formatted(listener, "rates.new_per_s", format_figure)},
                   {formatted(listener, "rates.to_backend_bytes_per_s", format_byte_rate)},
                   {formatted(listener, "rates.to_client_bytes_per_s", format_byte_rate)},
                   {flag(listener, "draining") ? "draining" : "", Style::warning}});
    }
    return table.empty() ? std::string() : "\n" + table.text(canvas);
}

/// `0.8 ms`, or why it failed.
Cell check_cell(const json::value& backend) {
    const auto& last = field(backend, "check.last");
    if (!last.is_object()) return {"-"};
    if (flag(last, "ok")) return {formatted(last, "ms", format_milliseconds)};
    return {text_or(last, "error", "failed"), Style::bad};
}

/// One that says it is primary while a newer one is believed is in no role.
Cell role_cell(const json::value& backend) {
    if (text(backend, "check.dispute")) return {"disputed", Style::bad};
    return {text_or(backend, "check.role", "")};
}

/// What else there is to say: why it is excluded, who changed its weight.
std::string note(const json::value& backend) {
    std::string out = text_or(backend, "why", "");
    if (const auto error = text(backend, "check.last.error"); error && out.ends_with(": " + *error))
        out.clear();  // it stands in the column of the check
    if (const auto dispute = text(backend, "check.dispute"))
        out += (out.empty() ? "" : ", ") + *dispute;
    if (out.empty()) out = text_or(backend, "circuit.cause", "");
    if (const auto weight = number(backend, "override.weight"))
        out += fmt::format("{}weight {} by {}", out.empty() ? "" : ", ", format_figure(*weight),
                           text_or(backend, "override.by", "?"));
    return out;
}

/// The weight in effect, and the configured one where they differ.
std::string weight(const json::value& backend) {
    const auto configured = formatted(backend, "weight", format_figure);
    const auto effective = formatted(backend, "effective_weight", format_figure);
    return effective == "-" || effective == configured ? configured
                                                       : effective + " of " + configured;
}

std::string waiting(const json::value& upstream) {
    const double queued = number_or(upstream, "queue.length", 0);
    const double held = number_or(upstream, "held", 0);
    std::string out = queued > 0 ? format_figure(queued) + " queued" : std::string();
    if (held > 0) out += (out.empty() ? "" : ", ") + format_figure(held) + " held";
    return out;
}

void add_backend(Table& table, const json::value& backend) {
    const double failures = sum_of(field(backend, "failures"));
    table.add({{},
               {text_or(backend, "name", "?")},
               {text_or(backend, "address", "-")},
               backend_state(backend),
               check_cell(backend),
               role_cell(backend),
               {weight(backend), Style::plain},
               {active_of_limit(backend)},
               {number_or(backend, "connections.warm", 0) > 0
                    ? formatted(backend, "connections.warm", format_figure)
                    : ""},
               {formatted(backend, "rates.new_per_s", format_figure)},
               {format_figure(failures), failures > 0 ? Style::warning : Style::plain},
               {formatted(backend, "connect_ms.p99", format_milliseconds)},
               {note(backend), Style::warning}});
}

std::string upstreams_table(const json::value& upstreams, const Canvas& canvas) {
    Table table({{"UPSTREAM"},
                 {"BACKEND"},
                 {.title = "ADDRESS", .shrinks = true},
                 {"STATE"},
                 {.title = "CHECK", .shrinks = true, .optional = true},
                 {.title = "ROLE", .optional = true},
                 {"WEIGHT", Align::right},
                 {"ACTIVE/MAX", Align::right},
                 {.title = "WARM", .align = Align::right, .optional = true},
                 {"NEW/s", Align::right},
                 {"FAILED", Align::right},
                 {"CONNECT p99", Align::right},
                 {.title = "NOTE", .shrinks = true, .optional = true}});
    for (const auto& upstream : items(upstreams)) {
        table.add({{upstream_title(upstream), Style::bold},
                   {},
                   {},
                   upstream_state(upstream),
                   {},
                   {},
                   {},
                   {},
                   {},
                   {},
                   {},
                   {},
                   {waiting(upstream), Style::warning}});
        for (const auto& backend : items(upstream, "backends")) add_backend(table, backend);
    }
    return table.empty() ? std::string() : "\n" + table.text(canvas);
}

}  // namespace

std::string connections_of_limit(const json::value& status) {
    return fmt::format("{} of {} connections",
                       formatted(status, "connections.active", format_figure),
                       formatted(status, "connections.limit", format_figure));
}

std::string status_view(const json::value& snapshot, const Canvas& canvas) {
    const auto& status = field(snapshot, "status");
    return first_line(status, canvas) + '\n' + below_first_line(snapshot, canvas) +
           workers_line(status, canvas) + listeners_table(field(snapshot, "listeners"), canvas) +
           upstreams_table(field(snapshot, "upstreams"), canvas);
}

}  // namespace penstock::app::client
