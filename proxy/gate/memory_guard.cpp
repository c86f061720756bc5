#include "proxy/gate/memory_guard.hpp"

namespace penstock::proxy {

// Divided first: limits may be so large that a hundred of them do not fit.
bool MemoryGuard::is_at(std::uint64_t used, std::uint64_t percent) const noexcept {
    return used >= limit_ / 100 * percent;
}

MemoryPressure MemoryGuard::observe(std::uint64_t used) noexcept {
    using enum MemoryPressure;
    const bool was_overload = pressure_ == overload;
    const bool was_tight = pressure_ != none;
    if (limit_ == 0)
        pressure_ = none;
    else if (is_at(used, was_overload ? overload_below : overload_from))
        pressure_ = overload;
    else if (is_at(used, was_tight ? tight_below : tight_from))
        pressure_ = tight;
    else
        pressure_ = none;
    return pressure_;
}

}  // namespace penstock::proxy
