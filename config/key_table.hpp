#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "config/key.hpp"

/// The one list of every key: loading, printing, suggestions and the reference page come from it.
namespace penstock::config {

/// [defaults.*]
struct Defaults {
    Listener listener;
    Upstream upstream;
};

/// What the top of a file describes.
struct Root {
    std::vector<std::string> include;
    Defaults defaults;
    Config config;
};

/// All tables, the top of the file (path "") first, in the order of printing.
[[nodiscard]] std::span<const TableSpec> all_tables();
/// The table with this path, which must exist: paths come from the rows.
[[nodiscard]] const TableSpec& table_spec(std::string_view path);

/// The parts of a text that has `|` between them; empty for an empty text.
[[nodiscard]] std::vector<std::string_view> split_words(std::string_view words);

}  // namespace penstock::config
