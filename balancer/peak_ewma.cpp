#include "balancer/peak_ewma.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace penstock::balancer {

namespace {

constexpr float tau_ms = std::chrono::duration<float, std::milli>(PeakEwma::tau).count();

std::uint32_t stamp_of(TimePoint now) noexcept {
    return static_cast<std::uint32_t>(
        std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count());
}

float microseconds_of(Duration sample) noexcept {
    return std::max(1.0F, std::chrono::duration<float, std::micro>(sample).count());
}

std::uint64_t word_of(float average, std::uint32_t stamp) noexcept {
    return std::uint64_t{std::bit_cast<std::uint32_t>(average)} << 32 | stamp;
}

float average_in(std::uint64_t word) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(word >> 32));
}

// What is left of an average after the time since its last sample. A clock that another worker has
// read a moment later counts as no time.
float decay(std::uint64_t word, std::uint32_t stamp) noexcept {
    const auto age = static_cast<std::uint32_t>(stamp - static_cast<std::uint32_t>(word));
    constexpr std::uint32_t behind = 0U - 60'000;
    return age >= behind ? 1.0F : std::exp(-static_cast<float>(age) / tau_ms);
}

}  // namespace

void PeakEwma::record(Duration sample, TimePoint now) noexcept {
    const float took = microseconds_of(sample);
    const std::uint32_t stamp = stamp_of(now);
    std::uint64_t old = word_.load(std::memory_order_relaxed);
    float average = 0;
    do {
        const float before = average_in(old);
        const float keep = decay(old, stamp);
        average = took >= before ? took : before * keep + took * (1 - keep);
    } while (!word_.compare_exchange_weak(old, word_of(average, stamp), std::memory_order_relaxed));
}

void PeakEwma::fail(TimePoint now, Duration penalty) noexcept {
    const float took = microseconds_of(penalty);
    const std::uint32_t stamp = stamp_of(now);
    std::uint64_t old = word_.load(std::memory_order_relaxed);
    float average = 0;
    do {
        average = std::max(took, average_in(old) * decay(old, stamp));
    } while (!word_.compare_exchange_weak(old, word_of(average, stamp), std::memory_order_relaxed));
}

std::optional<float> PeakEwma::average(TimePoint now) const noexcept {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    if (word == 0) return std::nullopt;
    return average_in(word) * decay(word, stamp_of(now));
}

}  // namespace penstock::balancer
