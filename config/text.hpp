#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace penstock::config {

/// Bytes of the first UTF-8 character of `text`; a byte that starts none counts as one of its own.
/// 0 only for an empty text.
[[nodiscard]] std::size_t character_size(std::string_view text) noexcept;

/// True if `character`, as cut by character_size(), may be shown on a terminal: neither a control
/// character (C0, DEL, C1), nor one that turns the direction of writing, nor a broken byte.
[[nodiscard]] bool is_printable(std::string_view character) noexcept;

[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// Byte offset of the character number `column` (from 1), at most text.size().
[[nodiscard]] std::size_t byte_offset(std::string_view text, std::size_t column) noexcept;

[[nodiscard]] std::size_t count_characters(std::string_view text) noexcept;

/// As many characters as `text` has, every one that is not printable replaced: a tab by a blank,
/// others by '?'.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace penstock::config
