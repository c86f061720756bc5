#include "config/print.hpp"

#include <fmt/format.h>

#include "config/format.hpp"
#include "config/key_table.hpp"

namespace penstock::config {

namespace {

bool is_headed(const Key& key) {
    if (key.kind == Kind::map) return true;
    const bool is_table = key.kind == Kind::table || key.kind == Kind::tables;
    return is_table && !table_spec(key.child).print_inline;
}

void print_header(std::string& out, const TableSpec& spec) {
    if (!spec.path.empty()) out += fmt::format("{}{}\n", out.empty() ? "" : "\n", spec.header);
}

void print_names(std::string& out, const TableSpec& spec, const std::vector<SniUpstream>& rows) {
    if (rows.empty()) return;
    print_header(out, spec);
    for (const auto& row : rows)
        out += fmt::format("{} = {}\n", format_string(row.name), format_string(row.upstream));
}

void print_table(std::string& out, const TableSpec& spec, void* object) {
    print_header(out, spec);
    // Values first: what stands below a header belongs to it.
    for (const auto& key : spec.keys) {
        if (!key.is_stored() || is_headed(key)) continue;
        out += fmt::format("{} = {}\n", key.name, format_inline(key, key.access(object)));
    }
    for (const auto& key : spec.keys) {
        if (!key.is_stored() || !is_headed(key)) continue;
        const auto slot = key.access(object);
        const auto& child = table_spec(key.child);
        if (const auto* table = std::get_if<TableSlot>(&slot)) {
            print_table(out, child, table->object);
            continue;
        }
        if (const auto* optional = std::get_if<OptionalSlot>(&slot)) {
            if (!is_absent(slot)) print_table(out, child, optional->get(optional->optional));
            continue;
        }
        if (const auto* rows = std::get_if<std::vector<SniUpstream>*>(&slot)) {
            print_names(out, child, **rows);
            continue;
        }
        const auto& rows = std::get<RowsSlot>(slot);
        for (std::size_t i = 0; i < rows.size(rows.rows); ++i)
            print_table(out, child, rows.at(rows.rows, i));
    }
}

}  // namespace

std::string print(const Config& config) {
    Root root;
    root.config = config;
    std::string out;
    print_table(out, table_spec(""), &root);
    return out;
}

}  // namespace penstock::config
