#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "config/foreign_words.hpp"
#include "config/suggest.hpp"
#include "config/table_reader.hpp"

namespace penstock::config {

namespace {

const Table* first_table(const Node& node) {
    if (const auto* table = node.as<Table>()) return table;
    const auto* array = node.as<Array>();
    return array == nullptr || array->elements.empty() ? nullptr
                                                       : array->elements.front().as<Table>();
}

Region table_region(const Node& node) {
    const auto* array = node.as<Array>();
    return array == nullptr || array->elements.empty() ? node.where : array->elements.front().where;
}

/// The first `[header]` below `table`, or nothing.
std::optional<Region> first_header_below(const Table& table) {
    std::optional<Region> first;
    const auto take = [&](Region where) {
        if (!first || where.line < first->line) first = where;
    };
    for (const auto& entry : table.entries) {
        const auto* below = first_table(entry.node);
        if (below == nullptr || below->form == TableForm::inline_table) continue;
        if (below->form == TableForm::header)
            take(table_region(entry.node));
        else if (const auto deeper = first_header_below(*below))
            take(*deeper);
    }
    return first;
}

std::string where_it_belongs(const Scope& scope) {
    return scope.spec.path.empty() ? "the top of the file" : scope.header;
}

/// For a key that a table around this one knows.
std::optional<std::string> explain_misplaced(const Scope& scope, const Entry& entry) {
    for (const Scope* around = scope.parent; around != nullptr; around = around->parent) {
        if (around->spec.find(entry.key) == nullptr) continue;
        const auto home = where_it_belongs(*around);
        auto message = fmt::format("'{}' belongs to {}, not to {}", entry.key, home, scope.header);
        if (scope.table.form == TableForm::inline_table)
            return message + ": move it out of these braces";
        const auto header = first_header_below(around->table);
        if (!header) return message;
        const auto& spec = scope.spec;
        // All that follows a header belongs to it, so the line to name is that of the first one.
        return message + (header->line == scope.where.line
                              ? fmt::format(": move it above line {}, {}", header->line,
                                            header_of(spec, scope.in_defaults))
                              : fmt::format(": move it above line {}, where the first table below "
                                            "{} starts",
                                            header->line, home));
    }
    return std::nullopt;
}

std::vector<std::string_view> key_names(const TableSpec& spec) {
    std::vector<std::string_view> names;
    for (const auto& key : spec.keys) names.push_back(key.name);
    return names;
}

/// Tables that know `name`: those below this one first.
std::optional<std::string> find_home(const Scope& scope, std::string_view name) {
    std::vector<std::string> below;
    std::vector<std::string> elsewhere;
    for (const auto& table : all_tables()) {
        if (table.path.empty() || table.path == "defaults" || table.find(name) == nullptr) continue;
        const bool is_below = !scope.spec.path.empty() && table.path.starts_with(scope.spec.path) &&
                              table.path.substr(scope.spec.path.size()).starts_with('.');
        (is_below ? below : elsewhere).push_back(header_of(table, scope.in_defaults && is_below));
    }
    const auto& homes = below.empty() ? elsewhere : below;
    if (homes.empty() || homes.size() > 2) return std::nullopt;
    return homes.size() == 1 ? homes[0] : homes[0] + " or " + homes[1];
}

bool has_header(const Node& node) {
    const auto* table = first_table(node);
    return table != nullptr && table->form == TableForm::header;
}

/// `unknown key 'x' in [y]`, `unknown table [x]`.
UnknownKey describe(const Scope& scope, const Entry& entry) {
    if (!has_header(entry.node))
        return {entry.key_where,
                fmt::format("unknown key {}{}", quote(entry.key), in_table(scope))};
    if (scope.spec.path.empty())
        return {table_region(entry.node), fmt::format("unknown table {}", quote(entry.key))};
    return {table_region(entry.node),
            fmt::format("unknown table {} in {}", quote(entry.key), scope.header)};
}

std::string suggestion(const Scope& scope, const Entry& entry, std::string_view near) {
    const auto& key = *scope.spec.find(near);
    if (has_header(entry.node) && !key.child.empty())
        return header_of(table_spec(key.child), scope.in_defaults || scope.spec.path == "defaults");
    return fmt::format("'{}'", near);
}

/// The equivalent without the table where that is the one at hand.
std::string equivalent_in(const Scope& scope, const ForeignWord& word) {
    std::string text(word.equivalent);
    const auto here = fmt::format(" in {}", scope.spec.header);
    if (const auto at = text.find(here); at != std::string::npos) text.erase(at, here.size());
    return text;
}

}  // namespace

std::string header_of(const TableSpec& spec, bool in_defaults) {
    std::string header(spec.header);
    const bool many =
        header.starts_with("[[") && (spec.path == "listener" || spec.path == "upstream");
    if (!in_defaults) return header;
    if (many) return fmt::format("[defaults.{}]", spec.path);
    header.insert(header.rfind("[", 1) + 1, "defaults.");
    return header;
}

std::string in_table(const Scope& scope) {
    return scope.spec.path.empty() ? " at the top of the file" : " in " + scope.header;
}

UnknownKey explain_unknown_key(const Scope& scope, const Entry& entry) {
    if (auto misplaced = explain_misplaced(scope, entry)) return {entry.key_where, *misplaced};
    auto unknown = describe(scope, entry);
    const auto names = key_names(scope.spec);
    if (const auto* foreign = foreign_key(entry.key, scope.spec.path)) {
        unknown.message += "; here it is " + equivalent_in(scope, *foreign);
    } else if (const auto near = nearest(entry.key, names)) {
        unknown.message += fmt::format("; did you mean {}?", suggestion(scope, entry, *near));
    } else if (const auto home = find_home(scope, entry.key)) {
        unknown.message += fmt::format("; it belongs to {}", *home);
    }
    return unknown;
}

}  // namespace penstock::config
