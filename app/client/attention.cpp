#include "app/client/attention.hpp"

#include <utility>

#include <fmt/format.h>

#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

constexpr double seconds_of_a_day = 86'400;
constexpr double warn_below_days = 21;

using Concerns = std::vector<Concern>;

void add_reload(Concerns& to, const json::value& status) {
    const auto& reload = field(status, "last_reload");
    if (!reload.is_object() || flag(reload, "ok")) return;
    Concern concern{{fmt::format("reload of {} failed, what was before it is in force",
                                 date_and_time(text_or(reload, "time", "?"))),
                     Style::bad}};
    for (const auto& error : items(reload, "errors")) {
        auto message = word(error);
        concern.details.push_back(message ? *std::move(message) : text_or(error, "message", "?"));
    }
    to.push_back(std::move(concern));
}

void add_process(Concerns& to, const json::value& status) {
    for (const auto& worker : items(status, "workers"))
        if (flag(worker, "stuck"))
            to.push_back({{fmt::format("worker {} stands still, and so do its connections",
                                       plain_number(worker, "id")),
                           Style::bad}});
    if (flag(field(status, "memory"), "overload"))
        to.push_back({{"memory is short: new connections are refused", Style::bad}});
    if (const auto keys = joined(items(status, "restart_required")); !keys.empty())
        to.push_back({{"needs a restart: " + keys, Style::warning}});
    for (const auto& missing : items(field(status, "sandbox"), "missing"))
        to.push_back({{"sandbox: " + word(missing).value_or("?"), Style::dim}});
}

/// Processes from before an upgrade.
void add_old_processes(Concerns& to, const json::value& status) {
    for (const auto& process : items(status, "old_processes")) {
        const auto left = number(process, "s_left");
        to.push_back({{fmt::format("old process {} ({}): {}{}", plain_number(process, "pid"),
                                   text_or(process, "version", "?"),
                                   counted(number_or(process, "connections", 0), "connection"),
                                   left ? ", ends in " + format_seconds(*left) : ""),
                       Style::warning}});
    }
}

/// Certificates of a listener that end soon.
void add_certificates(Concerns& to, const json::value& listener) {
    for (const auto& certificate : items(listener, "certificates")) {
        const auto left = number(certificate, "s_left");
        if (!left || *left >= warn_below_days * seconds_of_a_day) continue;
        const bool over = *left <= 0;
        to.push_back(
            {{fmt::format("listener {}: certificate {} {} ({})", text_or(listener, "name", "?"),
                          text_or(certificate, "file", "?"),
                          over ? std::string("has expired") : "expires in " + format_seconds(*left),
                          date_and_time(text_or(certificate, "not_after", "?"))),
              over ? Style::bad : Style::warning}});
    }
}

/// Names and files in which an upstream's backends are not found.
void add_sources(Concerns& to, const json::value& upstream) {
    for (const auto& source : items(upstream, "sources"))
        if (const auto error = text(source, "last_error"))
            to.push_back({{fmt::format("upstream {}: {}: {}", text_or(upstream, "name", "?"),
                                       text_or(source, "what", "?"), *error),
                           Style::bad}});
}

}  // namespace

std::vector<Concern> concerns_of(const json::value& snapshot) {
    Concerns all;
    const auto& status = field(snapshot, "status");
    add_reload(all, status);
    add_process(all, status);
    add_old_processes(all, status);
    for (const auto& listener : items(snapshot, "listeners")) add_certificates(all, listener);
    for (const auto& upstream : items(snapshot, "upstreams")) add_sources(all, upstream);
    return all;
}

}  // namespace penstock::app::client
