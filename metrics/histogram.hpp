#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "metrics/counter.hpp"

namespace penstock::metrics {

/// Upper bounds of buckets, in microseconds; beyond the last one there is one more.
inline constexpr std::array<std::uint64_t, 15> wait_bounds_us{
    250,     500,     1'000,   2'500,     5'000,     10'000,    25'000,    50'000,
    100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000};
/// For whole sessions: 1 ms to 7 days.
inline constexpr std::array<std::uint64_t, 14> life_bounds_us{
    1'000,         5'000,          25'000,          100'000,        500'000,
    2'000'000,     10'000'000,     60'000'000,      300'000'000,    1'800'000'000,
    7'200'000'000, 43'200'000'000, 172'800'000'000, 604'800'000'000};

/// Durations in fixed buckets, with one writer and any number of readers. A reader may see a
/// bucket that `sum` does not know yet, or the other way round; never less than before.
template <const auto& bounds>
class Histogram {
public:
    static constexpr std::size_t size = bounds.size() + 1;

    void record(std::uint64_t us) noexcept {
        std::size_t bucket = 0;
        while (bucket < bounds.size() && us > bounds[bucket]) ++bucket;
        buckets_[bucket].add();
        sum_us_.add(us);
    }
    [[nodiscard]] std::uint64_t bucket(std::size_t i) const noexcept { return buckets_[i].value(); }
    [[nodiscard]] std::uint64_t sum_us() const noexcept { return sum_us_.value(); }

private:
    std::array<Counter, size> buckets_;
    Counter sum_us_;
};

using WaitHistogram = Histogram<wait_bounds_us>;
using LifeHistogram = Histogram<life_bounds_us>;

}  // namespace penstock::metrics
