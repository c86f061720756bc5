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

/// The default of a key; empty where there is none (required keys, tables).
[[nodiscard]] std::string default_text(const TableSpec& table, const Key& key);

}  // namespace penstock::config
