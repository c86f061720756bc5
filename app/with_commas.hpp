#pragma once

#include <cstdint>
#include <string>

namespace penstock::app {

/// 29800 -> `29,800`.
[[nodiscard]] inline std::string with_commas(std::uint64_t value) {
    std::string digits = std::to_string(value);
    for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
    return digits;
}

}  // namespace penstock::app
