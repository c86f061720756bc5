#include "app/client/answer_view.hpp"

#include <algorithm>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include "app/client/backend_cells.hpp"
#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

/// `max_share` -> `max share`.
std::string title_of(std::string_view key) {
    std::string out = sanitised(key);
    std::ranges::replace(out, '_', ' ');
    return out;
}

std::string hint_for(unsigned status) {
    if (status == 401)
        return "\nThis address asks for a token: --token-file FILE, the file of admin.listener's "
               "token_file.";
    if (status == 403)
        return "\nThis address or token does not allow that; see admin.listener's access.";
    return {};
}

/// What has not been done everywhere, a line each.
std::string notes_of(const json::value& answer, const Canvas& canvas) {
    std::string out;
    for (const auto& note : items(answer, "notes"))
        if (const auto shown = word(note))
            out += line_of({{"note:", Style::warning}, {*shown}}, canvas) + '\n';
    return out;
}

}  // namespace

std::string answer_view(const std::string& done, const json::value& answer, const Canvas& canvas) {
    std::string out = line_of({{done}}, canvas) + '\n';
    const auto* members = answer.if_object();
    if (members == nullptr) return out;
    for (const auto& [key, value] : *members) {
        if (key == "ok" || key == "notes") continue;
        auto shown = word(value);
        if (!shown) shown = value.is_array() ? joined(*value.if_array()) : counts(value);
        if (!shown->empty()) out += line_of({{title_of(key) + ":"}, {*shown}}, canvas) + '\n';
    }
    return out + notes_of(answer, canvas);
}

std::string ending_view(const std::string& subject, bool dry_run, const json::value& answer,
                        const Canvas& canvas) {
    const auto closing = number(answer, "closing");
    if (!closing) return answer_view(subject + ": done", answer, canvas);
    const double old = number_or(answer, "old_processes.closing", 0);
    std::string out =
        line_of(
            {{fmt::format(
                "{}: {} {} of {}{}", subject, dry_run ? "would end" : "ending",
                format_figure(*closing), counted(number_or(answer, "sessions", 0), "session"),
                old > 0 ? fmt::format(", {} of them in old processes", format_figure(old)) : "")}},
            canvas) +
        '\n';
    const auto* backends = field(answer, "backends").if_object();
    if (backends == nullptr) return out + notes_of(answer, canvas);
    Table table({{"BACKEND"}, {dry_run ? "WOULD END" : "ENDING", Align::right}});
    for (const auto& [name, count] : *backends)
        table.add({{sanitised(name)}, {word(count).value_or("-")}});
    return out + table.text(canvas) + notes_of(answer, canvas);
}

std::string refusal_text(unsigned status, std::string_view body, const std::string& address) {
    boost::system::error_code error;
    const json::value answer = json::parse(body, error);
    const auto message = error ? std::nullopt : text(answer, "error");
    if (!message)
        return fmt::format(
            "{} answered with status {}, and not as Penstock's admin API does; is this the address "
            "of an [[admin.listener]]?{}",
            address, status, hint_for(status));
    std::string out = *message;
    for (const auto& detail : items(answer, "details")) {
        auto line = word(detail);
        if (!line) line = text_or(detail, "message", "");
        if (!line->empty()) out += "\n  " + *line;
    }
    return out + hint_for(status);
}

}  // namespace penstock::app::client
