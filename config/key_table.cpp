#include "config/key_table.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "config/keys.hpp"

namespace penstock::config {

const Key* TableSpec::find(std::string_view key) const noexcept {
    const auto found = std::ranges::find(keys, key, &Key::name);
    return found == keys.end() ? nullptr : &*found;
}

std::span<const TableSpec> all_tables() {
    static const std::vector<TableSpec> tables = [] {
        std::vector<TableSpec> all;
        for (const auto part :
             {keys::process_tables(), keys::admin_tables(), keys::listener_tables(),
              keys::listener_extra_tables(), keys::upstream_tables(), keys::upstream_load_tables(),
              keys::health_tables(), keys::upstream_extra_tables()})
            all.insert(all.end(), part.begin(), part.end());
        return all;
    }();
    return tables;
}

const TableSpec& table_spec(std::string_view path) {
    static const auto by_path = [] {
        std::unordered_map<std::string_view, const TableSpec*> map;
        for (const auto& table : all_tables()) map.emplace(table.path, &table);
        return map;
    }();
    const auto found = by_path.find(path);
    if (found == by_path.end())
        throw std::logic_error("the key table has no table '" + std::string(path) + "'");
    return *found->second;
}

std::vector<std::string_view> split_words(std::string_view words) {
    std::vector<std::string_view> parts;
    while (!words.empty()) {
        const auto bar = words.find('|');
        parts.push_back(words.substr(0, bar));  // the first may be empty: `|primary|replica`
        words.remove_prefix(bar == std::string_view::npos ? words.size() : bar + 1);
    }
    return parts;
}

}  // namespace penstock::config
