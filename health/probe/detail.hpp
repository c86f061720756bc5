#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "health/probe/probe.hpp"

/// The words of a ProbeResult.
namespace penstock::health {

inline constexpr std::size_t max_detail = 200;  // characters
/// Of what a server sent, or should have sent.
inline constexpr std::size_t max_excerpt = 60;

/// Printable ASCII as it is, the rest as \n, \x00; of quotes and backslashes nothing is lost
/// either. At most `limit` characters; what was cut ends with `...`.
[[nodiscard]] std::string escaped(std::string_view bytes, std::size_t limit = max_excerpt);
/// escaped() in quotes.
[[nodiscard]] std::string quoted(std::string_view bytes, std::size_t limit = max_excerpt);

/// A result whose detail is at most max_detail characters, and printable whatever it is made of.
[[nodiscard]] ProbeResult failure(std::string_view detail, Role role = Role::none);
[[nodiscard]] ProbeResult success(std::string_view detail, Role role = Role::none);

/// `1 s`, `250 ms`; rounded up to a millisecond.
[[nodiscard]] std::string in_words(Duration duration);

}  // namespace penstock::health
