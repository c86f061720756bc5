#include "config/table_reader.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "config/diagnostic.hpp"
#include "config/server_name.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

std::string join(const std::string& path, std::string_view key) {
    return path.empty() ? std::string(key) : path + '.' + std::string(key);
}

/// "[listener]" for "[[listener]]" and the other way round.
std::string other_brackets(std::string_view header) {
    if (header.starts_with("[[")) return std::string(header.substr(1, header.size() - 2));
    return fmt::format("[{}]", header);
}

bool is_defaults(const Scope& scope) { return scope.spec.path == "defaults"; }

/// The first table of `node` that was written with a header; null = none.
const Node* header_node(const Node& node) {
    if (const auto* array = node.as<Array>())
        return array->of_headers ? &array->elements.front() : nullptr;
    const auto* table = node.as<Table>();
    return table != nullptr && table->form == TableForm::header ? &node : nullptr;
}

std::span<const Node> rows_of(const Node& node) {
    if (const auto* array = node.as<Array>()) return array->elements;
    return {&node, 1};
}

/// The struct of a table, which the file may bring into being.
void* table_object(const Slot& slot) {
    if (const auto* optional = std::get_if<OptionalSlot>(&slot))
        return optional->make(optional->optional);
    return std::get<TableSlot>(slot).object;
}

/// Sorted, each name once: what a listener has of its own stands behind what its defaults say.
void keep_last_of_each(std::vector<SniUpstream>& rows) {
    std::ranges::stable_sort(rows, {}, &SniUpstream::name);
    const auto kept = std::unique(rows.rbegin(), rows.rend(),
                                  [](const auto& a, const auto& b) { return a.name == b.name; });
    rows.erase(rows.begin(), kept.base());
}

/// `a.b = "u"` without quotes is a table in a table: the name that was meant.
std::string dotted_name(const Entry& entry) {
    auto name = entry.key;
    const auto* table = entry.node.as<Table>();
    while (table != nullptr && !table->entries.empty()) {
        name += '.' + table->entries.front().key;
        table = table->entries.front().node.as<Table>();
    }
    return name;
}

Scope root_scope(const Table& document, std::uint32_t file) {
    const auto& spec = table_spec("");
    return {.parent = nullptr,
            .spec = spec,
            .table = document,
            .where = {file, 0, 0, 0},
            .path = {},
            .header = std::string(spec.header)};
}

}  // namespace

void TableReader::read_include(const Table& document, std::uint32_t file, Root& root) {
    const auto scope = root_scope(document, file);
    if (const auto* entry = document.find("include")) read_entry(scope, *entry, &root);
}

void TableReader::read_defaults(const Table& document, std::uint32_t file, Root& root) {
    const auto scope = root_scope(document, file);
    if (const auto* entry = document.find("defaults")) read_entry(scope, *entry, &root);
}

void TableReader::read_root(const Table& document, std::uint32_t file, Root& root) {
    const auto scope = root_scope(document, file);
    for (const auto& entry : document.entries)
        if (entry.key != "defaults" && entry.key != "include") read_entry(scope, entry, &root);
}

void TableReader::read_keys(const Scope& scope, void* object) {
    for (const auto& entry : scope.table.entries) read_entry(scope, entry, object);
    apply_derived_defaults(scope, object);
}

void TableReader::read_entry(const Scope& scope, const Entry& entry, void* object) {
    const Key* key = scope.spec.find(entry.key);
    if (key == nullptr) {
        auto unknown = explain_unknown_key(scope, entry);
        return reporter_.error(unknown.where, std::move(unknown.message));
    }
    const bool top_of_defaults =
        scope.in_defaults && scope.parent != nullptr && is_defaults(*scope.parent);
    if (key->own && top_of_defaults)
        return reporter_.error(entry.key_where,
                               fmt::format("'{}' cannot be given in {}: each {} needs its own",
                                           key->name, scope.header, scope.spec.path));
    if (key->kind == Kind::table) return read_table(scope, *key, entry, object);
    if (key->kind == Kind::tables) return read_rows(scope, *key, entry, object);
    if (key->kind == Kind::map) return read_names(scope, *key, entry, object);
    const auto path = join(scope.path, key->name);
    values_.read({*key, scope.header, path, key->access(object)}, entry.node);
}

bool TableReader::report_given_twice(const Scope& scope, const Key& key, const Node& node) {
    const auto* first = origins_.find(join(scope.path, key.name));
    const bool shared = scope.spec.path.empty() || is_defaults(scope);
    if (!shared || key.name == "defaults" || first == nullptr) return false;
    const auto header = is_defaults(scope) ? fmt::format("[defaults.{}]", key.name)
                                           : std::string(table_spec(key.child).header);
    reporter_.error(node.where, fmt::format("{} is given in two files", header), *first,
                    "first given here");
    return true;
}

void TableReader::read_table(const Scope& scope, const Key& key, const Entry& entry, void* object) {
    const auto& spec = table_spec(key.child);
    const auto* node = &entry.node;
    if (const auto* array = node->as<Array>(); array != nullptr && array->of_headers) {
        const auto header = header_of(spec, scope.in_defaults || is_defaults(scope));
        reporter_.error(array->elements.front().where,
                        fmt::format("[{}] must be written {}: there is only one", header, header));
        node = &array->elements.front();
    }
    // A plain value stands for a table with one key.
    Table short_form{.entries = {}, .form = TableForm::inline_table};
    const auto* table = node->as<Table>();
    if (table == nullptr && !key.short_form.empty() && node->as<std::string>() != nullptr) {
        short_form.entries.push_back({std::string(key.short_form), node->where, *node});
        table = &short_form;
    }
    if (table == nullptr) return values_.wrong_type(key, scope.header, *node);
    if (report_given_twice(scope, key, *node)) return;
    const Scope inner{.parent = &scope,
                      .spec = spec,
                      .table = *table,
                      .where = node->where,
                      .path = join(scope.path, key.name),
                      .header = header_of(spec, scope.in_defaults || is_defaults(scope)),
                      .in_defaults = scope.in_defaults || is_defaults(scope)};
    origins_.set(inner.path, node->where);
    read_keys(inner, table_object(key.access(object)));
}

bool TableReader::report_single_brackets(const Scope& scope, const Key& key, const Node& node,
                                         Region key_where) {
    const auto* table = node.as<Table>();
    if (table == nullptr || table->form == TableForm::inline_table) return false;
    const auto header = header_of(table_spec(key.child), scope.in_defaults);
    if (table->form == TableForm::header)
        reporter_.error(node.where, fmt::format("{} must be written {}: there can be several",
                                                other_brackets(header), header));
    else
        reporter_.error(key_where,
                        fmt::format("this needs a {} above it, of which it is a part", header));
    return true;
}

void TableReader::read_rows(const Scope& scope, const Key& key, const Entry& entry, void* object) {
    const bool wrong = report_single_brackets(scope, key, entry.node, entry.key_where);
    const auto rows = std::get<RowsSlot>(key.access(object));
    // Of several files the tables add up; what a table has of its own replaces its defaults.
    if (!scope.spec.path.empty()) rows.clear(rows.rows);
    if (header_node(entry.node) == nullptr)
        origins_.set(join(scope.path, key.name), entry.node.where);
    for (const auto& node : rows_of(entry.node)) {
        if (node.as<Table>() == nullptr && key.short_form.empty()) {
            values_.wrong_type(key, scope.header, node);
            continue;
        }
        const void* prototype = nullptr;
        if (key.prototype != nullptr) prototype = std::get<TableSlot>(key.prototype(object)).object;
        const auto index = rows.size(rows.rows);
        read_row(scope, key, node, rows.append(rows.rows, prototype), index, !wrong);
    }
}

void TableReader::read_row(const Scope& scope, const Key& key, const Node& node, void* object,
                           std::size_t index, bool complete) {
    const auto& spec = table_spec(key.child);
    // A plain value stands for a table with one key.
    Table short_form{.entries = {}, .form = TableForm::inline_table};
    const auto* table = node.as<Table>();
    if (table == nullptr) {
        short_form.entries.push_back({std::string(key.short_form), node.where, node});
        table = &short_form;
    }
    const Scope inner{.parent = &scope,
                      .spec = spec,
                      .table = *table,
                      .where = node.where,
                      .path = fmt::format("{}[{}]", join(scope.path, key.name), index),
                      .header = header_of(spec, scope.in_defaults),
                      .in_defaults = scope.in_defaults};
    origins_.set(inner.path, node.where);
    read_keys(inner, object);
    if (complete) check_required(inner);
}

void TableReader::check_required(const Scope& scope) {
    for (const auto& key : scope.spec.keys)
        if (key.required && scope.table.find(key.name) == nullptr)
            reporter_.error(scope.where, fmt::format("{} without '{}'; add {} = {}", scope.header,
                                                     key.name, key.name, key.example));
}

void TableReader::apply_derived_defaults(const Scope& scope, void* object) {
    for (const auto& key : scope.spec.keys) {
        if (key.default_from.empty() || scope.table.find(key.name) != nullptr) continue;
        const auto* source = scope.table.find(key.default_from);
        const auto* source_key = scope.spec.find(key.default_from);
        if (source == nullptr || source_key == nullptr) continue;
        const auto address = std::get<AddressSlot>(source_key->access(object));
        if (*address.endpoint == Endpoint{} && address.host->empty()) continue;  // reported
        const auto text = values_.text(*source_key, scope.header, source->node);
        if (!text) continue;
        if (const auto valid = check_backend_name(*text); !valid)
            reporter_.error(source->node.where,
                            fmt::format("{} needs a '{}': the default, its {}, {}", scope.header,
                                        key.name, key.default_from, valid.error()));
        *std::get<std::string*>(key.access(object)) = *text;
    }
}

void TableReader::read_names(const Scope& scope, const Key& key, const Entry& entry, void* object) {
    const auto& spec = table_spec(key.child);
    const auto* table = entry.node.as<Table>();
    if (table == nullptr) return values_.wrong_type(key, scope.header, entry.node);
    const Scope inner{.parent = &scope,
                      .spec = spec,
                      .table = *table,
                      .where = entry.node.where,
                      .path = join(scope.path, key.name),
                      .header = header_of(spec, scope.in_defaults),
                      .in_defaults = scope.in_defaults};
    origins_.set(inner.path, inner.where);
    auto& rows = *std::get<std::vector<SniUpstream>*>(key.access(object));
    rows.reserve(rows.size() + table->entries.size());
    for (const auto& row : table->entries) {
        if (!row.node.as<std::string>()) {
            report_no_name(inner, row);
            continue;
        }
        if (const auto valid = check_server_name(row.key); !valid) {
            reporter_.error(row.key_where, fmt::format("{} in {} {}", quote(row.key), inner.header,
                                                       valid.error()));
            continue;
        }
        origins_.set(join(inner.path, row.key), row.key_where);
        if (auto upstream = values_.text(key, scope.header, row.node))
            rows.push_back({row.key, *std::move(upstream)});
    }
    keep_last_of_each(rows);
}

void TableReader::report_no_name(const Scope& scope, const Entry& entry) {
    if (scope.parent->spec.find(entry.key) != nullptr) {
        auto misplaced = explain_unknown_key(scope, entry);
        return reporter_.error(misplaced.where, std::move(misplaced.message));
    }
    const auto name = dotted_name(entry);
    reporter_.error(
        entry.key_where,
        name == entry.key
            ? fmt::format("{} in {} takes the name of an upstream in quotes; this is {}",
                          quote(name), scope.header, describe_type(entry.node))
            : fmt::format("a name with dots stands in quotes in {}: \"{}\" = ...", scope.header,
                          name));
}

}  // namespace penstock::config
