#pragma once

#include <array>
#include <cstdint>

namespace penstock::bench {

/// Counts of durations in buckets of constant relative width (below 1.6 %), after the idea of
/// HdrHistogram: each power of two is cut into 64 equal parts. Fixed size, recording never
/// allocates.
class Histogram {
public:
    void record(std::uint64_t nanoseconds);

    /// Upper edge of the bucket that holds the given share (0 to 1) of the values, in nanoseconds;
    /// 0 when empty.
    [[nodiscard]] std::uint64_t percentile(double share) const;
    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::uint64_t max() const { return max_; }

private:
    static constexpr unsigned sub_bits = 6;
    static constexpr unsigned octaves = 64 - sub_bits;

    std::array<std::uint64_t, (octaves + 1U) << sub_bits> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace penstock::bench
