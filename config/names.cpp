#include "config/names.hpp"

#include <array>
#include <utility>

namespace penstock::config {

std::string_view name_of(BackendState state) noexcept {
    static constexpr std::array<std::string_view, 3> names{"ready", "drain", "maintenance"};
    return names[std::to_underlying(state)];
}

std::string_view name_of(Balance balance) noexcept {
    static constexpr std::array<std::string_view, 8> names{
        "round_robin", "least_connections", "p2c",  "random", "least_latency",
        "maglev",      "ring_hash",         "first"};
    return names[std::to_underlying(balance)];
}

std::string_view name_of(AdminAccess access) noexcept {
    static constexpr std::array<std::string_view, 3> names{"metrics", "read", "full"};
    return names[std::to_underlying(access)];
}

std::optional<BackendState> backend_state_named(std::string_view name) noexcept {
    for (const auto state : {BackendState::ready, BackendState::drain, BackendState::maintenance})
        if (name_of(state) == name) return state;
    return std::nullopt;
}

}  // namespace penstock::config
