#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace penstock {

/// What a server of a replicated database is at the moment, or what a listener asks for.
enum class Role : std::uint8_t {
    none,  // asked for: any; reported: nothing is known
    primary,
    replica,
};
inline constexpr std::size_t role_count = 3;

[[nodiscard]] constexpr std::string_view name_of(Role role) noexcept {
    constexpr std::array<std::string_view, role_count> names{"", "primary", "replica"};
    return names[std::to_underlying(role)];
}

}  // namespace penstock
