#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "health/actions.hpp"

namespace penstock::health {

/// Counts the events of one upstream and writes them to the process log. A backend that flaps
/// fills no log: of each kind and backend `burst` events at once, then one per `pause`, which says
/// how many were left out. One thread.
class EventLog {
public:
    static constexpr std::uint32_t burst = 10;
    static constexpr Duration pause = std::chrono::seconds(10);

    EventLog(std::string upstream, Logger& log) : upstream_(std::move(upstream)), log_(log) {}

    void tell(const Event& event, TimePoint now);
    /// A backend left: nothing is remembered of it.
    void forget(const std::string& backend);

    [[nodiscard]] std::uint64_t count(EventKind kind) const noexcept {
        return counts_[std::to_underlying(kind)];
    }

private:
    struct Throttle {
        TimePoint since{};
        std::uint32_t told = 0;
        std::uint64_t left_out = 0;
    };
    [[nodiscard]] static bool admit(Throttle& throttle, TimePoint now) noexcept;

    std::string upstream_;
    Logger& log_;
    std::array<std::uint64_t, event_kind_count> counts_{};
    std::map<std::pair<std::string, EventKind>, Throttle> throttles_;
};

}  // namespace penstock::health
