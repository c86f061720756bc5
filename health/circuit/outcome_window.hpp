#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/clock.hpp"

namespace penstock::health {

/// How a backend's connections went within the last `window`, in ten buckets: what is counted
/// covers nine to ten tenths of it. Pure; one owner thread.
class OutcomeWindow {
public:
    struct Sums {
        std::uint64_t successes = 0;
        std::uint64_t failures = 0;

        [[nodiscard]] std::uint64_t all() const noexcept { return successes + failures; }
        bool operator==(const Sums&) const = default;
    };

    static constexpr int buckets = 10;

    explicit OutcomeWindow(Duration window) noexcept;

    /// `now` never goes backwards.
    void add(Sums more, TimePoint now) noexcept;
    [[nodiscard]] Sums sums(TimePoint now) noexcept;
    void clear() noexcept;
    [[nodiscard]] Duration length() const noexcept { return window_; }

private:
    void advance(TimePoint now) noexcept;
    [[nodiscard]] Sums& bucket() noexcept;  // that of turn_

    Duration window_;
    Duration length_;  // of a bucket
    std::int64_t turn_ = 0;  // now / length_
    std::array<Sums, buckets> sums_{};
    Sums total_;
};

}  // namespace penstock::health
