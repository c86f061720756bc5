#include "config/reference.hpp"

#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "config/format.hpp"
#include "config/key_table.hpp"
#include "config/value.hpp"

namespace penstock::config {

namespace {

constexpr auto no_limit = std::numeric_limits<std::int64_t>::max();

std::string code(std::string_view text) {
    return text.empty() ? std::string() : fmt::format("`{}`", text);
}

std::string words(const Key& key) {
    std::string out;
    for (const auto word : split_words(key.words))
        out += fmt::format("{}`\"{}\"`", out.empty() ? "" : ", ", word);
    return out;
}

std::string integer_values(const Key& key) {
    auto out = key.most == no_limit ? fmt::format("integer from {}", key.least)
                                    : fmt::format("integer, {} to {}", key.least, key.most);
    if (key.allows_auto) out += ", or `\"auto\"`";
    return out;
}

std::string duration_values(const Key& key) {
    std::string out = key.whole_seconds ? "whole seconds" : "duration";
    if (key.most != no_limit)
        out += fmt::format(", {} to {}", format_duration(std::chrono::milliseconds(key.least)),
                           format_duration(std::chrono::milliseconds(key.most)));
    else if (key.least > 0)
        out += ", above 0";
    if (key.allows_never) out += ", or `\"never\"`";
    return out;
}

std::string number_values(const Key& key) {
    auto out = fmt::format("number, {} {}", key.above_least ? "above" : "from", key.least);
    if (key.most != no_limit) out += fmt::format(" to {}", key.most);
    return key.allows_zero ? out + ", or 0" : out;
}

std::string values(const Key& key) {
    switch (key.kind) {
        case Kind::boolean: return "`true`, `false`";
        case Kind::integer: return integer_values(key);
        case Kind::number: return number_values(key);
        case Kind::share: return "number, 0 to 1";
        case Kind::duration: return duration_values(key);
        case Kind::size: return key.allows_auto ? "size, or `\"auto\"`" : "size";
        case Kind::rate: return "rate, or `\"\"`";
        case Kind::byte_rate: return "byte rate, or `\"\"`";
        case Kind::path: return key.words.empty() ? "path, or `\"\"`" : words(key) + ", or a path";
        case Kind::name:
        case Kind::backend_name: return "name";
        case Kind::word: return words(key);
        case Kind::words: return "list of " + words(key);
        case Kind::strings: return "list of strings";
        case Kind::server_names: return "list of server names";
        case Kind::paths: return "list of paths";
        case Kind::pattern: return "path, or a pattern";
        case Kind::map: return "table, see " + code(table_spec(key.child).header);
        case Kind::peers: return "list of peers";
        case Kind::local_addresses: return "list of IP addresses";
        case Kind::bind: return "list of addresses";
        case Kind::address: return "address, or host name and port";
        case Kind::name_servers: return "list of addresses";
        case Kind::statuses: return "list of statuses";
        case Kind::mode: return "octal digits";
        case Kind::table: return "table, see " + code(table_spec(key.child).header);
        case Kind::tables: return "tables, see " + code(table_spec(key.child).header);
        default: return "string";
    }
}

std::string default_column(const TableSpec& table, const Key& key) {
    if (key.required) return "required";
    return code(default_text(table, key));
}

}  // namespace

std::string reference() {
    std::string out;
    for (const auto& table : all_tables()) {
        const bool top = table.path.empty();
        out += fmt::format("### {}\n\n", top ? "Top of the file" : code(table.header));
        if (!table.doc.empty()) out += fmt::format("{}\n\n", table.doc);
        if (table.keys.empty()) continue;
        out += "| key | value | default | meaning |\n|---|---|---|---|\n";
        for (const auto& key : table.keys)
            out += fmt::format("| `{}` | {} | {} | {} |\n", key.name, values(key),
                               default_column(table, key), key.doc);
        out += '\n';
    }
    out.pop_back();
    return out;
}

}  // namespace penstock::config
