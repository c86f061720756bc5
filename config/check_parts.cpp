#include "config/check_parts.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace penstock::config {

std::string listener_path(std::size_t i) { return fmt::format("listener[{}]", i); }
std::string admin_listener_path(std::size_t i) { return fmt::format("admin.listener[{}]", i); }
std::string upstream_path(std::size_t i) { return fmt::format("upstream[{}]", i); }
std::string backend_path(std::size_t i, std::size_t j) {
    return fmt::format("upstream[{}].backend[{}]", i, j);
}

bool is_own(const Check& check, const std::string& table, std::string_view key) {
    return check.origins.find(fmt::format("{}.{}", table, key)) != nullptr;
}

Region place(const Check& check, const std::string& table, std::string_view key) {
    const auto defaults = "defaults." + table.substr(0, table.find('['));
    if (!is_own(check, table, key))
        if (const auto* where = check.origins.find(fmt::format("{}.{}", defaults, key)))
            return *where;
    return check.origins.of(table, key);
}

Region part_place(const Check& check, const std::string& table, const std::string& part,
                  std::string_view key) {
    const auto defaults = "defaults." + table.substr(0, table.find('['));
    const auto& owner = is_own(check, table, part) ? table : defaults;
    return check.origins.of(fmt::format("{}.{}", owner, part), key);
}

bool peeks(const Listener& listener) {
    return !listener.sni.empty() || std::ranges::any_of(listener.routes, [](const Route& route) {
        return !route.sni.empty() || !route.alpn.empty() || route.tls == RouteTls::passthrough;
    });
}

}  // namespace penstock::config
