#pragma once

#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::config {

/// Looks a variable up; nothing = it is not set.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;

/// The environment of this process. Not safe while another thread changes it (setenv).
[[nodiscard]] Environment process_environment();

/// Replaces `${NAME}` and `${NAME:-default}`; the default also stands for an empty variable. A `$`
/// without a brace stays. There is no escape: no value of a configuration needs `${`.
/// The error is a sentence for the user.
[[nodiscard]] std::expected<std::string, std::string> interpolate(std::string_view text,
                                                                  const Environment& environment);

}  // namespace penstock::config
