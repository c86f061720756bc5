#include "app/client/events_view.hpp"

#include <algorithm>
#include <array>

#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

Style style_of_change(std::string_view to) {
    static constexpr std::array bad{"down", "open", "failed", "panic"};
    static constexpr std::array good{"up", "closed", "ready", "ok"};
    if (std::ranges::find(bad, to) != bad.end()) return Style::bad;
    if (std::ranges::find(good, to) != good.end()) return Style::good;
    return Style::plain;
}

std::string place(const json::value& event) {
    std::string out;
    for (const auto* name : {"listener", "upstream", "backend"})
        if (const auto part = text(event, name)) out += (out.empty() ? "" : "/") + *part;
    return out;
}

std::string change(const json::value& event) {
    const auto from = text(event, "from");
    const auto to = text(event, "to");
    if (!to) return from ? *from + " ->" : std::string();
    return from ? *from + " -> " + *to : *to;
}

}  // namespace

std::string event_line(const json::value& event, TimeForm form, const Canvas& canvas) {
    const auto time = text_or(event, "time", "-");
    const auto detail = text_or(event, "detail", "");
    const auto actor = text(event, "actor");
    const auto what = change(event);
    return line_of(
        {{form == TimeForm::time_of_day ? time_of_day(time) : date_and_time(time), Style::dim},
         {place(event), Style::bold},
         {text_or(event, "kind", "?")},
         {what.empty() || detail.empty() ? what : what + ":",
          style_of_change(text_or(event, "to", ""))},
         {detail},
         {actor ? "(by " + *actor + ")" : "", Style::dim}},
        canvas);
}

std::string events_view(const json::value& events, const Canvas& canvas) {
    if (items(events).empty()) return "no events\n";
    std::string out;
    for (const auto& event : items(events))
        out += event_line(event, TimeForm::date_and_time, canvas) + '\n';
    return out;
}

}  // namespace penstock::app::client
