#include "health/event_log.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock::health {

// The burst is there again after a pause in which nothing happened.
bool EventLog::admit(Throttle& throttle, TimePoint now) noexcept {
    if (throttle.told == 0 || now - throttle.since >= pause) {
        throttle.told = now - throttle.since >= 2 * pause ? 1 : std::max(throttle.told, burst);
        throttle.since = now;
        return true;
    }
    if (throttle.told >= burst) {
        ++throttle.left_out;
        return false;
    }
    ++throttle.told;
    return true;
}

void EventLog::tell(const Event& event, TimePoint now) {
    ++counts_[std::to_underlying(event.kind)];
    Throttle& throttle = throttles_[{event.backend, event.kind}];
    if (!admit(throttle, now)) return;
    std::string text = event.backend.empty() ? fmt::format("upstream {}: {}", upstream_, event.text)
                                             : fmt::format("upstream {}: backend {} {}", upstream_,
                                                           event.backend, event.text);
    if (const auto left_out = std::exchange(throttle.left_out, 0); left_out != 0)
        text += fmt::format(" ({} more like this since the last message)", left_out);
    if (event.is_warning)
        log_.warn("{}", text);
    else
        log_.info("{}", text);
}

void EventLog::forget(const std::string& backend) {
    std::erase_if(throttles_, [&](const auto& entry) { return entry.first.first == backend; });
}

}  // namespace penstock::health
