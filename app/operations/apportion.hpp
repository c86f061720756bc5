#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace penstock::app {

/// Divides `total` among places in proportion to their counts, never more than a place has; by the
/// largest remainder (Hamilton's method). Pure.
[[nodiscard]] std::vector<std::size_t> apportion(const std::vector<std::size_t>& counts,
                                                 std::uint64_t total);

}  // namespace penstock::app
