#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.hpp"
#include "base/random.hpp"

namespace penstock::proxy {

/// When a pool may open the next connection to a backend after failures: exponential, between half
/// of the pause and all of it, so that it neither hammers nor goes in step with others. Pure.
class ReopenPause {
public:
    static constexpr Duration first = std::chrono::milliseconds(100);
    static constexpr Duration longest = std::chrono::seconds(10);

    /// One could not be opened, or ended as soon as it was open.
    void on_failure(TimePoint now, Random& random) noexcept {
        const Duration pause = std::min(longest, first * (1 << std::min(failures_, 10U)));
        ++failures_;
        const double part = 0.5 + random.unit() / 2;
        not_before_ =
            now + Duration(static_cast<Duration::rep>(static_cast<double>(pause.count()) * part));
    }
    /// One proved useful.
    void on_success() noexcept {
        failures_ = 0;
        not_before_ = {};
    }
    [[nodiscard]] TimePoint not_before() const noexcept { return not_before_; }

private:
    unsigned failures_ = 0;
    TimePoint not_before_{};
};

}  // namespace penstock::proxy
