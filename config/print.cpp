#include "config/print.hpp"

#include <fmt/format.h>

#include "config/format.hpp"
#include "config/key_table.hpp"

namespace penstock::config {

namespace {

bool is_headed(const Key& key) {
    const bool is_table = key.kind == Kind::table || key.kind == Kind::tables;
    return is_table && !table_spec(key.child).print_inline;
}

void print_table(std::string& out, const TableSpec& spec, void* object) {
    if (!spec.path.empty()) out += fmt::format("{}{}\n", out.empty() ? "" : "\n", spec.header);
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
