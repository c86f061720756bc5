#pragma once

#include "app/client/fields.hpp"
#include "app/client/table.hpp"

/// How a backend of the API's `upstreams` is told in a cell; `status` and `top` share them.
namespace penstock::app::client {

/// Its state in the word that matters most: what an operator set, then its circuit, then its check.
[[nodiscard]] Cell backend_state(const json::value& backend);
/// `1 of 2 up`, `PANIC, 0 of 2 up`, `paused, 2 of 2 up`.
[[nodiscard]] Cell upstream_state(const json::value& upstream);
/// `41/200`; `41` without a limit.
[[nodiscard]] std::string active_of_limit(const json::value& owner);
/// All failures counted in an object of counters.
[[nodiscard]] double sum_of(const json::value& counters) noexcept;
/// An object of numbers by name: `v1 95, v2 5`.
[[nodiscard]] std::string counts(const json::value& object);
/// `web p2c`.
[[nodiscard]] std::string upstream_title(const json::value& upstream);

}  // namespace penstock::app::client
