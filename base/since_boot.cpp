#include "base/since_boot.hpp"

#include <ctime>

namespace penstock {

Duration since_boot() noexcept {
    timespec ts{};
    ::clock_gettime(CLOCK_BOOTTIME, &ts);  // cannot fail for this clock
    return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}

}  // namespace penstock
