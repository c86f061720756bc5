#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace penstock::config {

/// The candidate that `word` is most likely a misspelling of, or nothing where none is near enough:
/// one edit per three characters, at least one. Case and '-' for '_' do not count. Of equally near
/// ones the first.
[[nodiscard]] std::optional<std::string_view> nearest(std::string_view word,
                                                      std::span<const std::string_view> candidates);

}  // namespace penstock::config
