#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "config/upstream.hpp"

namespace penstock::app {

/// The listener, upstream or backend of that name; null = there is none.
template <typename T>
[[nodiscard]] const T* find_named(const std::vector<T>& all, const std::string& name) noexcept {
    const auto found = std::ranges::find(all, name, &T::name);
    return found == all.end() ? nullptr : &*found;
}

/// Its place; nothing = there is none.
template <typename T>
[[nodiscard]] std::optional<std::size_t> index_of_named(const std::vector<T>& all,
                                                        const std::string& name) noexcept {
    const T* found = find_named(all, name);
    if (found == nullptr) return std::nullopt;
    return static_cast<std::size_t>(found - all.data());
}

/// `name` is that of the listed backend, or of one of the addresses that its host name stands for.
[[nodiscard]] inline bool is_of_listed(const std::string& name, const std::string& listed) {
    return name == listed || name.starts_with(listed + "@");
}

/// What the file says of the backend of that name; null = it does not list it.
[[nodiscard]] inline const config::Backend* find_listed(const config::Upstream& upstream,
                                                        const std::string& name) {
    const auto found = std::ranges::find_if(upstream.backends, [&](const config::Backend& backend) {
        return is_of_listed(name, backend.name);
    });
    return found == upstream.backends.end() ? nullptr : &*found;
}

}  // namespace penstock::app
