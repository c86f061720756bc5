#pragma once

#include <cstdint>
#include <optional>

#include "config/document.hpp"

namespace penstock::config {

/// Brackets within brackets, and names within one dotted key. Configurations need three of each;
/// the parser recurses once per level, so the text must not choose how deep.
inline constexpr std::uint32_t deepest_nesting = 32;
inline constexpr std::uint32_t longest_dotted_key = 16;

/// What the TOML parser must not get to see, or explains badly: NUL bytes and other control
/// characters (TOML has none outside of escapes, and the parser does not always survive them),
/// UTF-16, nesting that would exhaust the stack. Nothing = the text may be parsed.
[[nodiscard]] std::optional<SyntaxError> guard_text(const Source& source, std::uint32_t file);

}  // namespace penstock::config
