#include "config/print.hpp"

#include <fmt/format.h>

#include "config/format.hpp"
#include "config/key_table.hpp"

namespace penstock::config {

namespace {

bool is_printed(const Key& key) { return key.supported && !key.input_only; }

bool is_headed(const Key& key) {
    const bool is_table = key.kind == Kind::table || key.kind == Kind::tables;
    return is_table && !table_spec(key.child).print_inline;
}

std::string inline_table(const TableSpec& spec, void* object) {
    std::string out;
    for (const auto& key : spec.keys)
        if (is_printed(key))
            out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", key.name,
                               format_value(key, key.access(object)));
    return fmt::format("{{ {} }}", out);
}

std::string inline_value(const Key& key, const Slot& slot) {
    if (const auto* table = std::get_if<TableSlot>(&slot))
        return inline_table(table_spec(key.child), table->object);
    const auto* rows = std::get_if<RowsSlot>(&slot);
    if (rows == nullptr) return format_value(key, slot);
    std::string out;
    for (std::size_t i = 0; i < rows->size(rows->rows); ++i)
        out += (i == 0 ? "" : ", ") + inline_table(table_spec(key.child), rows->at(rows->rows, i));
    return fmt::format("[{}]", out);
}

void print_table(std::string& out, const TableSpec& spec, void* object) {
    if (!spec.path.empty()) out += fmt::format("{}{}\n", out.empty() ? "" : "\n", spec.header);
    // Values first: what stands below a header belongs to it.
    for (const auto& key : spec.keys) {
        if (!is_printed(key) || is_headed(key)) continue;
        out += fmt::format("{} = {}\n", key.name, inline_value(key, key.access(object)));
    }
    for (const auto& key : spec.keys) {
        if (!is_printed(key) || !is_headed(key)) continue;
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
