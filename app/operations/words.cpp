#include "app/operations/words.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "app/with_commas.hpp"
#include "balancer/slow_start.hpp"
#include "config/value.hpp"

namespace penstock::app {

namespace {

std::string ago(WallTime then, WallTime now) {
    const auto passed = std::chrono::duration_cast<std::chrono::seconds>(now - then);
    return config::format_duration(std::max(passed, std::chrono::seconds(0)));
}

// ` by uid 1000, 3m ago`, where somebody has set it while running.
std::string by_whom(const admin::BackendView& view, WallTime now) {
    if (!view.override || !view.override->state) return "";
    return fmt::format(", by {}, {} ago", view.override->by, ago(view.override->since, now));
}

std::string check_failed(const admin::BackendView& view) {
    if (!view.check.last || view.check.last->error.empty()) return "its check is down";
    return fmt::format("its check is down: {}", view.check.last->error);
}

std::string circuit_open(const admin::BackendView& view) {
    std::string text = "breaker open";
    if (view.circuit.retry_in_s) text += fmt::format(", {:.0f}s left", *view.circuit.retry_in_s);
    if (!view.circuit.cause.empty()) text += fmt::format(" ({})", view.circuit.cause);
    return text;
}

std::pair<std::string, std::string> exclusion_of(const admin::BackendView& view, WallTime now) {
    if (view.state == config::BackendState::drain) return {"drain", "drain" + by_whom(view, now)};
    if (view.state == config::BackendState::maintenance)
        return {"maintenance", "maintenance" + by_whom(view, now)};
    if (view.weight == 0) return {"weight_0", "its weight is 0"};
    if (!view.available) {
        if (!view.check.settled) return {"unchecked", "its first check is outstanding"};
        if (!view.check.up) return {"down", check_failed(view)};
        if (view.circuit.state == balancer::CircuitState::open)
            return {"circuit_open", circuit_open(view)};
        return {"unavailable", "it is not available"};
    }
    if (!view.eligible)
        return {"full", fmt::format("it has its {} connections", with_commas(view.limit))};
    return {};
}

}  // namespace

SlowStartView slow_start_of(const balancer::Backend& backend, std::uint32_t weight,
                            const config::SlowStart& settings, TimePoint now) noexcept {
    const auto since = backend.slow_since();
    if (!since || settings.window <= Duration::zero() || now - *since >= settings.window)
        return {static_cast<double>(weight)};
    const auto scaled = balancer::effective_weight(
        weight, now - *since, {settings.window, settings.min_weight, settings.aggression});
    return {static_cast<double>(scaled) / balancer::weight_scale,
            std::chrono::duration<double>(settings.window - (now - *since)).count()};
}

std::string ailment_of(const admin::BackendView& view) {
    if (!view.check.settled) return "its first check is outstanding";
    if (!view.check.up) return check_failed(view);
    if (view.circuit.state == balancer::CircuitState::open) return circuit_open(view);
    return "";
}

void explain_exclusion(admin::BackendView& view, WallTime now) {
    std::tie(view.excluded_by, view.why) = exclusion_of(view, now);
}

void explain_disputes(admin::UpstreamView& view) {
    const auto believed = std::ranges::find_if(
        view.backends,
        [](const admin::BackendView& backend) { return backend.check.role == Role::primary; });
    if (believed == view.backends.end()) return;
    for (auto& backend : view.backends)
        if (!backend.check.dispute.empty())
            backend.check.dispute += fmt::format("; {}'s newer claim is believed", believed->name);
}

}  // namespace penstock::app
