#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/close_reason.hpp"
#include "base/endpoint.hpp"
#include "base/log.hpp"
#include "config/config.hpp"

namespace penstock::proxy {

/// As LogThrottle, for several threads and without a lock.
class SharedThrottle {
public:
    /// How many were left out since the last message if this one may be written, else nothing.
    [[nodiscard]] std::optional<std::uint64_t> admit(TimePoint now, Duration interval) noexcept {
        auto next = next_.load(std::memory_order_relaxed);
        const auto ns = now.time_since_epoch().count();
        if (ns < next || !next_.compare_exchange_strong(next, ns + interval.count())) {
            left_out_.fetch_add(1, std::memory_order_relaxed);
            return std::nullopt;
        }
        return left_out_.exchange(0, std::memory_order_relaxed);
    }

private:
    std::atomic<std::int64_t> next_{0};
    std::atomic<std::uint64_t> left_out_{0};
};

/// Tells the operator which limit of a listener bites: one message for each kind in ten seconds,
/// over all workers. Any thread.
class GateLog {
public:
    static constexpr Duration interval = std::chrono::seconds(10);

    enum class Event : std::uint8_t { refuses, would_refuse, waits };

    /// `peer` may be empty: not accepted yet. Returns what was written, if it was.
    std::optional<std::string> report(Logger& log, const config::Listener& listener, Event event,
                                      CloseReason reason, const CompactEndpoint& peer,
                                      TimePoint now);

private:
    std::array<std::array<SharedThrottle, close_reason_count>, 3> throttles_;
};

}  // namespace penstock::proxy
