#include "app/client/answer_view.hpp"

#include <algorithm>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include "app/client/text.hpp"

namespace penstock::app::client {

namespace {

/// `max_share` -> `max share`.
std::string title_of(std::string_view key) {
    std::string out = sanitised(key);
    std::ranges::replace(out, '_', ' ');
    return out;
}

/// Objects in a table whose columns are the fields of the first one.
std::string table_of(const json::array& rows, const Canvas& canvas) {
    const auto* first = rows.empty() ? nullptr : rows.front().if_object();
    if (first == nullptr) return {};
    std::vector<Column> columns;
    std::vector<std::string> keys;
    for (const auto& [key, value] : *first) {
        keys.emplace_back(key);
        auto title = title_of(key);
        std::ranges::transform(title, title.begin(), [](char c) {
            return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        });
        columns.push_back({.title = std::move(title),
                           .align = value.is_number() ? Align::right : Align::left,
                           .shrinks = !value.is_number(),
                           .optional = true});
    }
    Table table(std::move(columns));
    for (const auto& row : rows) {
        std::vector<Cell> cells;
        for (const auto& key : keys) cells.push_back({text_or(row, key, "-")});
        table.add(std::move(cells));
    }
    return table.text(canvas);
}

std::string hint_for(unsigned status) {
    if (status == 401)
        return "\nThis address asks for a token: --token-file FILE, the file of admin.listener's "
               "token_file.";
    if (status == 403)
        return "\nThis address or token does not allow that; see admin.listener's access.";
    return {};
}

}  // namespace

std::string answer_view(const std::string& done, const json::value& answer, const Canvas& canvas) {
    std::string out = line_of({{done}}, canvas) + '\n';
    const auto* object = answer.if_object();
    if (object == nullptr) return out;
    std::string tables;
    for (const auto& [key, value] : *object) {
        if (const auto* array = value.if_array()) {
            const auto list = joined(*array);
            if (!list.empty())
                out += line_of({{title_of(key) + ":"}, {list}}, canvas) + '\n';
            else
                tables += table_of(*array, canvas);
        } else if (const auto shown = word(value); shown && key != "ok") {
            out += line_of({{title_of(key) + ":"}, {*shown}}, canvas) + '\n';
        }
    }
    return out + tables;
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
