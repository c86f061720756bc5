#include "base/backoff.hpp"

#include <algorithm>
#include <limits>

namespace penstock {

// min(max, base * 2^n), also where the product would overflow.
Duration Backoff::limit() const noexcept {
    Duration limit = std::min(base_, max_);
    for (std::uint32_t n = count_; n > 0 && limit > Duration::zero() && limit < max_; --n)
        limit = limit > max_ / 2 ? max_ : limit * 2;
    return std::max(limit, Duration::zero());
}

Duration Backoff::next(Random& random) noexcept {
    const double pause = random.unit() * static_cast<double>(limit().count());
    if (count_ != std::numeric_limits<std::uint32_t>::max()) ++count_;
    return Duration(static_cast<Duration::rep>(pause));
}

}  // namespace penstock
