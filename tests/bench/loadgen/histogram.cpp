#include "tests/bench/loadgen/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace penstock::bench {

void Histogram::record(std::uint64_t nanoseconds) {
    const auto width = static_cast<unsigned>(std::bit_width(nanoseconds));
    const unsigned shift = width > sub_bits + 1 ? width - sub_bits - 1 : 0;
    // Values up to 127 are their own bucket; above, the leading 7 bits and the octave name it.
    ++buckets_[(std::size_t{shift} << sub_bits) + (nanoseconds >> shift)];
    ++count_;
    max_ = std::max(max_, nanoseconds);
}

std::uint64_t Histogram::percentile(double share) const {
    if (count_ == 0) return 0;
    const auto wanted =
        static_cast<std::uint64_t>(std::max(1.0, std::ceil(share * static_cast<double>(count_))));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
        seen += buckets_[i];
        if (seen < wanted) continue;
        const std::size_t shift = i < (2U << sub_bits) ? 0 : (i >> sub_bits) - 1;
        const std::uint64_t first = i - (shift << sub_bits);
        return std::min(max_, ((first + 1) << shift) - 1);
    }
    return max_;
}

}  // namespace penstock::bench
