#include "balancer/limits/token_bucket.hpp"

#include <algorithm>
#include <cassert>

namespace penstock::balancer {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t ns_of_40_years = 1'262'304'000'000'000'000;
constexpr std::uint64_t most_parts = std::uint64_t{1} << 62;
constexpr std::uint64_t largest_burst = std::uint64_t{1} << 40;

}  // namespace

TokenLine::TokenLine(std::uint64_t amount, Duration per, std::uint64_t burst) noexcept
    : per_(static_cast<std::uint64_t>(per.count())) {
    assert(amount > 0 && per > Duration::zero() && burst > 0);
    amount = std::min(amount, per_);  // a token each nanosecond
    burst = std::min(burst, largest_burst);
    unsigned bits = 61;
    const Wide lifetime = Wide{amount} * ns_of_40_years / per_ + burst;
    while (bits > 0 && (lifetime << bits) > most_parts) --bits;
    one_ = std::uint64_t{1} << bits;
    parts_ = amount << bits;
    burst_ = burst << bits;
}

std::uint64_t TokenLine::issued(TimePoint now) const noexcept {
    const auto ns = std::max<std::int64_t>(now.time_since_epoch().count(), 0);
    return static_cast<std::uint64_t>(Wide{static_cast<std::uint64_t>(ns)} * parts_ / per_);
}

std::optional<std::uint64_t> TokenLine::take(std::uint64_t spent, TimePoint now) const noexcept {
    const std::uint64_t at = issued(now);
    const std::uint64_t after = std::max(spent, at) + one_;
    if (after > at + burst_) return std::nullopt;
    return after;
}

std::uint64_t TokenLine::used(std::uint64_t spent, TimePoint now) const noexcept {
    const std::uint64_t at = issued(now);
    return spent <= at ? 0 : (spent - at + one_ - 1) / one_;
}

TimePoint TokenLine::next_token(std::uint64_t spent) const noexcept {
    if (spent + one_ <= burst_) return TimePoint{};
    const Wide due = spent + one_ - burst_;
    const auto ns = static_cast<std::int64_t>((due * per_ + parts_ - 1) / parts_);
    return TimePoint(Duration(ns));
}

TokenBucket::Token TokenBucket::try_take(TimePoint now) noexcept {
    std::uint64_t spent = spent_.load(std::memory_order_relaxed);
    for (;;) {
        const auto after = line_.take(spent, now);
        if (!after) return {};
        if (spent_.compare_exchange_weak(spent, *after, std::memory_order_relaxed))
            return {this, *after};
    }
}

// Whole tokens lie between two states unless the bucket was full in between, and then it has long
// forgotten this token.
void TokenBucket::give_back(std::uint64_t at) noexcept {
    const std::uint64_t one = line_.one();
    std::uint64_t spent = spent_.load(std::memory_order_relaxed);
    while ((spent - at) % one == 0 && spent >= one)
        if (spent_.compare_exchange_weak(spent, spent - one, std::memory_order_relaxed)) return;
}

}  // namespace penstock::balancer
