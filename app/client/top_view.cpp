#include "app/client/top_view.hpp"

#include <algorithm>
#include <utility>

#include <boost/json/object.hpp>
#include <fmt/format.h>

#include "app/client/attention.hpp"
#include "app/client/backend_cells.hpp"
#include "app/client/events_view.hpp"
#include "app/client/status_view.hpp"
#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

constexpr std::size_t most_events = 100;
constexpr std::size_t least_event_lines = 4;
constexpr std::size_t most_concerns = 3;
constexpr std::size_t rows_per_concern = 8;  // on a small screen the backends matter more

std::string header(const json::value& status, const Canvas& canvas) {
    double busy = 0;
    double lag = 0;
    const auto& workers = items(status, "workers");
    for (const auto& worker : workers) {
        busy += number_or(worker, "busy", 0);
        lag = std::max(lag, number_or(worker, "lag_ms", 0));
    }
    const auto count = static_cast<double>(workers.size());
    const auto state = text_or(status, "state", "");
    return line_of({{"penstock top", Style::bold},
                    {"  up " + formatted(status, "uptime_s", format_seconds)},
                    {state == "running" ? "" : "  " + state, Style::warning},
                    {fmt::format("  {} {}", counted(count, "worker"),
                                 format_share(count == 0 ? 0 : busy / count))},
                    {"  lag p99 " + format_milliseconds(lag)},
                    {"  " + connections_of_limit(status)}},
                   canvas);
}

std::string byte_rate(const json::value& owner) {
    return formatted(owner, "rates.to_client_bytes_per_s", format_byte_rate);
}

/// The sum of a rate over the backends; the upstream itself may not tell.
double sum_over(const json::value& upstream, std::string_view path) {
    double sum = 0;
    for (const auto& backend : items(upstream, "backends")) sum += number_or(backend, path, 0);
    return sum;
}

std::string upstream_active(const json::value& upstream) {
    if (number(upstream, "connections.active")) return active_of_limit(upstream);
    const double limit = sum_over(upstream, "connections.limit");
    const bool all_limited = std::ranges::all_of(
        items(upstream, "backends"),
        [](const json::value& backend) { return number_or(backend, "connections.limit", 0) > 0; });
    const auto active = format_figure(sum_over(upstream, "connections.active"));
    return all_limited && limit > 0 ? active + "/" + format_figure(limit) : active;
}

std::string upstream_bytes(const json::value& upstream) {
    if (number(upstream, "rates.to_client_bytes_per_s")) return byte_rate(upstream);
    const double sum = sum_over(upstream, "rates.to_client_bytes_per_s");
    return sum > 0 ? format_byte_rate(sum) : "-";
}

/// Of the attempts to connect, in percent.
Cell failed_share(const json::value& backend) {
    const auto failed = number(backend, "rates.failed_per_s");
    const double attempts = failed.value_or(0) + number_or(backend, "rates.new_per_s", 0);
    if (!failed || attempts <= 0) return {"-"};
    const double share = 100 * *failed / attempts;
    return {fmt::format("{:.1f}", share), share >= 0.05 ? Style::bad : Style::plain};
}

/// What needs somebody, as far as there is room; `penstock status` has all of it.
void add_concerns(std::vector<std::string>& out, const json::value& snapshot, ScreenSize size,
                  const Canvas& canvas) {
    auto all = concerns_of(snapshot);
    std::erase_if(all, [](const Concern& one) { return one.what.style == Style::dim; });
    // The worst first; they keep their order otherwise.
    std::ranges::stable_partition(all,
                                  [](const Concern& one) { return one.what.style == Style::bad; });
    const std::size_t room =
        std::clamp(size.rows / rows_per_concern, std::size_t{1}, most_concerns);
    for (std::size_t i = 0; i < std::min(all.size(), room); ++i) {
        std::vector<Cell> line{all[i].what};
        if (i + 1 == room && all.size() > room)
            line.push_back(
                {fmt::format("(and {} more: penstock status)", all.size() - room), Style::dim});
        out.push_back(line_of(line, canvas));
    }
}

}  // namespace

void TopModel::take_status(json::value snapshot) {
    note_restart(field(snapshot_, "status"), field(snapshot, "status"));
    snapshot_ = std::move(snapshot);
    lost_.clear();
}

void TopModel::note_restart(const json::value& before, const json::value& now) {
    if (!before.is_object() || field(before, "pid") == field(now, "pid")) return;
    // An old process without sessions is gone at once.
    const auto& old = items(now, "old_processes");
    const auto is_before = [&before](const json::value& pid) {
        return pid == field(before, "pid");
    };
    const bool upgraded = is_before(field(now, "took_over_from")) ||
                          std::ranges::any_of(old, [&is_before](const json::value& process) {
                              return is_before(field(process, "pid"));
                          });
    take_event(json::object{
        {"time", text_or(now, "time", "")},
        {"kind", upgraded ? "the proxy was upgraded" : "the proxy was restarted"},
        {"detail",
         fmt::format("pid {} -> {}", plain_number(before, "pid"), plain_number(now, "pid"))}});
}

void TopModel::take_event(json::value event) {
    events_.push_back(std::move(event));
    if (events_.size() > most_events) events_.pop_front();
}

void TopModel::lose(std::string why) { lost_ = std::move(why); }

void TopModel::scroll(std::ptrdiff_t lines) noexcept {
    std::size_t most = 0;
    for (const auto& upstream : items(snapshot_, "upstreams"))
        most += 1 + items(upstream, "backends").size();
    const auto wanted = static_cast<std::ptrdiff_t>(scrolled_) + lines;
    scrolled_ = static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(
        wanted, 0, most == 0 ? 0 : static_cast<std::ptrdiff_t>(most - 1)));
}

std::vector<std::string> TopModel::backend_lines(const Canvas& canvas) const {
    Table table({{"UPSTREAM"},
                 {.title = "BACKEND", .shrinks = true},
                 {.title = "STATE", .shrinks = true},
                 {"ACTIVE/MAX", Align::right},
                 {"NEW/s", Align::right},
                 {"FAIL%", Align::right},
                 {"CONNECT p99", Align::right},
                 {.title = "OUT", .align = Align::right, .optional = true}});
    for (const auto& upstream : items(snapshot_, "upstreams")) {
        table.add({{upstream_title(upstream), Style::bold},
                   {},
                   upstream_state(upstream),
                   {upstream_active(upstream)},
                   {format_figure(sum_over(upstream, "rates.new_per_s"))},
                   {},
                   {},
                   {upstream_bytes(upstream)}});
        for (const auto& backend : items(upstream, "backends")) {
            table.add({{},
                       {text_or(backend, "name", "?")},
                       backend_state(backend),
                       {active_of_limit(backend)},
                       {formatted(backend, "rates.new_per_s", format_figure)},
                       failed_share(backend),
                       {formatted(backend, "connect_ms.p99", format_milliseconds)},
                       {byte_rate(backend)}});
        }
    }
    return table.empty() ? std::vector<std::string>{"no upstreams"} : table.lines(canvas);
}

std::vector<std::string> TopModel::event_lines(std::size_t most, const Canvas& canvas) const {
    std::vector<std::string> out;
    const std::size_t count = std::min(most, events_.size());
    for (auto event = events_.end() - static_cast<std::ptrdiff_t>(count); event != events_.end();
         ++event)
        out.push_back(event_line(*event, TimeForm::time_of_day, canvas));
    return out;
}

std::vector<std::string> TopModel::lines(ScreenSize size, bool colour) const {
    const Canvas canvas{size.columns, colour};
    std::vector<std::string> out;
    if (snapshot_.is_null())
        out.push_back(line_of({{"waiting for the first figures"}}, canvas));
    else
        out.push_back(header(field(snapshot_, "status"), canvas));
    if (!lost_.empty())
        out.push_back(
            line_of({{"NOT CONNECTED, these figures are old:", Style::bad}, {lost_}}, canvas));
    add_concerns(out, snapshot_, size, canvas);
    auto backends = snapshot_.is_null() ? std::vector<std::string>() : backend_lines(canvas);
    const std::size_t room = size.rows > out.size() ? size.rows - out.size() : 0;
    // Events take what the table leaves, and a few lines at least where there is a choice.
    const std::size_t kept =
        std::min(events_.size(), room / 2 > least_event_lines ? least_event_lines : room / 4);
    const std::size_t for_table = std::min(backends.size(), room - kept);
    const std::size_t hidden = backends.size() - for_table;
    const std::size_t skipped = std::min(scrolled_, hidden);
    for (std::size_t i = 0; i < for_table; ++i)
        out.push_back(std::move(backends[i == 0 ? 0 : i + skipped]));  // the titles stay
    const auto events = event_lines(room - for_table, canvas);
    out.insert(out.end(), events.begin(), events.end());
    out.resize(std::min(out.size(), size.rows));
    return out;
}

}  // namespace penstock::app::client
