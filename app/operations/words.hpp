#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "admin/model.hpp"
#include "balancer/backend.hpp"
#include "config/upstream.hpp"

namespace penstock::app {

/// Where a backend stands in its slow start.
struct SlowStartView {
    double weight;                  // of the moment
    std::optional<double> s_left{};  // nothing = it has its whole weight
};
[[nodiscard]] SlowStartView slow_start_of(const balancer::Backend& backend, std::uint32_t weight,
                                          const config::SlowStart& settings,
                                          TimePoint now) noexcept;

/// What is wrong with it, though panic may let it be used: `its check is down: refused`; "" =
/// nothing.
[[nodiscard]] std::string ailment_of(const admin::BackendView& view);

/// Says why it would not be chosen now: the first reason that holds, as a word and as a clause.
void explain_exclusion(admin::BackendView& view, WallTime now);

/// Adds to what disputed backends claim whom others believe.
void explain_disputes(admin::UpstreamView& view);

}  // namespace penstock::app
