#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace penstock::app {

/// The listener, upstream or backend of that name; null = there is none.
template <typename T>
[[nodiscard]] const T* find_named(const std::vector<T>& all, const std::string& name) noexcept {
    const auto found = std::ranges::find(all, name, &T::name);
    return found == all.end() ? nullptr : &*found;
}

}  // namespace penstock::app
