#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "config/source.hpp"

namespace penstock::config {

/// Where the values of a configuration were written, by path: `listener[0].timeouts.idle`. A table
/// has the place of its header. Defaults have no place.
class Origins {
public:
    void set(std::string path, Region where) { places_.insert_or_assign(std::move(path), where); }

    /// Null = not given in any file.
    [[nodiscard]] const Region* find(const std::string& path) const {
        const auto found = places_.find(path);
        return found == places_.end() ? nullptr : &found->second;
    }

    /// The place of `key` in the table at `table`, else of the table itself.
    [[nodiscard]] Region of(const std::string& table, std::string_view key) const {
        if (const auto* where = find(table + '.' + std::string(key))) return *where;
        if (const auto* where = find(table)) return *where;
        return {};
    }

private:
    std::unordered_map<std::string, Region> places_;
};

}  // namespace penstock::config
