#pragma once

#include <string>
#include <string_view>

#include "config/key.hpp"

/// Values as TOML text.
namespace penstock::config {

/// A TOML string with its quotes.
[[nodiscard]] std::string format_string(std::string_view text);

/// The value at `slot`, which belongs to `key`, as it would be written in a file. Kinds that are
/// tables give an empty text.
[[nodiscard]] std::string format_value(const Key& key, const Slot& slot);

/// The same, tables and lists of them as inline tables.
[[nodiscard]] std::string format_inline(const Key& key, const Slot& slot);
/// A table that need not be there, and is not: it cannot be written.
[[nodiscard]] bool is_absent(const Slot& slot);
/// All stored keys of a table as one inline table; `object` is what `spec` describes.
[[nodiscard]] std::string format_table(const TableSpec& spec, void* object);

/// The same for people: without the brackets of lists and the quotes of strings, whose escapes
/// stay. `v1=95, v2=5` for a list of tables with two keys.
[[nodiscard]] std::string format_plain(const Key& key, const Slot& slot);

/// The default of a key; empty where there is none (required keys, tables).
[[nodiscard]] std::string default_text(const TableSpec& table, const Key& key);

}  // namespace penstock::config
