#pragma once

#include <span>
#include <string_view>

namespace penstock::config {

/// A word of another proxy and what to write here instead.
struct ForeignWord {
    std::string_view word;
    /// Keys: path of the table it is written in, or of a table above that; "" = anywhere.
    /// Values: name of the key it is given to.
    std::string_view scope;
    /// What to write, starting with the key, `[table]` or value itself.
    std::string_view equivalent;
};

/// Keys and table names. Null = not known; more specific scopes win.
[[nodiscard]] const ForeignWord* foreign_key(std::string_view word, std::string_view table_path);
/// Words given to `key`.
[[nodiscard]] const ForeignWord* foreign_value(std::string_view word, std::string_view key);

/// For tests and the reference.
[[nodiscard]] std::span<const ForeignWord> all_foreign_keys();
[[nodiscard]] std::span<const ForeignWord> all_foreign_values();

}  // namespace penstock::config
