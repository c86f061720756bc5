#include "proxy/byte_budget.hpp"

#include <algorithm>

namespace penstock::proxy {

namespace {

// 16 GiB/s: a second of it in byte nanoseconds fits 64 bits.
constexpr std::uint64_t highest_rate = std::uint64_t{1} << 34;
constexpr std::uint64_t bursts_per_second = 20;
constexpr std::uint64_t ns_per_second = 1'000'000'000;

}  // namespace

ByteBudget::ByteBudget(std::uint64_t rate, TimePoint now) noexcept
    : rate_(std::min(rate, highest_rate)), since_(now) {}

std::uint64_t ByteBudget::burst() const noexcept {
    return std::max<std::uint64_t>(rate_ / bursts_per_second, 1);
}

// For less than a second.
std::uint64_t ByteBudget::earned_in(Duration elapsed) const noexcept {
    return rate_ * static_cast<std::uint64_t>(elapsed.count()) / ns_per_second;
}

std::uint64_t ByteBudget::available(TimePoint now) noexcept {
    if (rate_ == 0) return unlimited;
    // Seconds earn whole bytes, so they can be settled without a remainder.
    while (now - since_ >= std::chrono::seconds(1) && spent_ > rate_) {
        since_ += std::chrono::seconds(1);
        spent_ -= rate_;
    }
    const Duration elapsed = std::max(now - since_, Duration::zero());
    const std::uint64_t earned = elapsed >= std::chrono::seconds(1) ? rate_ : earned_in(elapsed);
    if (earned >= spent_) {
        since_ = std::max(since_, now);
        spent_ = 0;
        return burst();
    }
    const std::uint64_t most = burst() + earned;
    return most > spent_ ? most - spent_ : 0;
}

TimePoint ByteBudget::worth_waking_at() const noexcept {
    const std::uint64_t wanted = std::max<std::uint64_t>(burst() / 2, 1);
    const std::uint64_t target = spent_ + wanted;
    if (rate_ == 0 || target <= burst()) return since_;
    const std::uint64_t missing = target - burst();
    // Rounded up, in two parts: `missing` may be a little more than a second's worth.
    const std::uint64_t seconds = missing / rate_;
    const std::uint64_t rest = missing % rate_ * ns_per_second;
    return since_ + std::chrono::seconds(seconds) + Duration((rest + rate_ - 1) / rate_);
}

}  // namespace penstock::proxy
