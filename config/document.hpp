#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/source.hpp"

/// A TOML document as a tree of values with their places. The only part that knows the TOML
/// library.
namespace penstock::config {

struct Node;
struct Entry;

/// How a table was written: `[header]`, `{ inline }`, or only named by dotted keys or by headers of
/// tables below it.
enum class TableForm : std::uint8_t { header, inline_table, implied };

struct Table {
    std::vector<Entry> entries;  // in the order of the text
    TableForm form = TableForm::header;

    [[nodiscard]] const Entry* find(std::string_view key) const noexcept;
};

struct Array {
    std::vector<Node> elements;
    bool of_headers = false;  // written as [[header]] tables
};

/// A date or time: nothing here takes one, but the message says what was found.
struct DateOrTime {};

struct Node {
    std::variant<std::string, std::int64_t, double, bool, DateOrTime, Array, Table> value;
    Region where;

    template <typename T>
    [[nodiscard]] const T* as() const noexcept {
        return std::get_if<T>(&value);
    }
};

struct Entry {
    std::string key;
    Region key_where;
    Node node;
};

struct SyntaxError {
    Region where;
    std::string message;
};

/// Parses one source; `file` goes into the regions. Never throws for any text.
[[nodiscard]] std::expected<Table, SyntaxError> parse_document(const Source& source,
                                                               std::uint32_t file);

/// "a string", "an integer", ... for messages.
[[nodiscard]] std::string_view describe_type(const Node& node) noexcept;

}  // namespace penstock::config
