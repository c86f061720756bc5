#pragma once

#include <array>
#include <memory>
#include <utility>

#include "balancer/backend_set.hpp"
#include "balancer/bitmap.hpp"
#include "base/role.hpp"

namespace penstock::balancer {

/// Who may be chosen, as health has decided at one moment. Immutable once it is published: the
/// workers share it.
struct Snapshot {
    /// For clients that ask for one role (Role::none: for any). Bits are indices of `set`.
    struct View {
        Bitmap available;
        /// Those of `available` that are in because of panic: they are used whatever their circuit
        /// says.
        Bitmap forced;
    };

    /// Every backend of the set is available to clients that ask for no role, except those that
    /// never are (not ready, weight 0); nobody has a role.
    explicit Snapshot(std::shared_ptr<const BackendSet> of);

    [[nodiscard]] const View& view(Role role) const noexcept {
        return views[std::to_underlying(role)];
    }

    std::shared_ptr<const BackendSet> set;
    std::array<View, role_count> views;
};

}  // namespace penstock::balancer
