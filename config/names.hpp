#pragma once

#include <optional>
#include <string_view>

#include "config/admin.hpp"
#include "config/upstream.hpp"

namespace penstock::config {

// Enumerators as the configuration spells them, for logs, API and commands.

[[nodiscard]] std::string_view name_of(BackendState state) noexcept;
[[nodiscard]] std::string_view name_of(Balance balance) noexcept;
[[nodiscard]] std::string_view name_of(AdminAccess access) noexcept;
/// Nothing if there is no such state.
[[nodiscard]] std::optional<BackendState> backend_state_named(std::string_view name) noexcept;

}  // namespace penstock::config
